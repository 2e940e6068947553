// HandleTable: from a handle to the place of its object, and who may move or free it now.
//
// One record of 24 bytes for each object:
//
//     state       generation:16 | size:13 | live:1 | moving:1 | position:8 | offset:8 | pins:17
//     place       unit:32 | frame:32      (the next free index while the record is dead)
//     owner_key   what the owner wants to find again from the frame alone
//
// Unit and position are where the pool finds the object in its own lists; frame and offset are
// where a reader finds its first byte. That is the same said twice, so that a pinned read costs two
// cache misses, the record and the bytes, whatever tables the pool has in between.
//
// States and the only ways between them:
//
//              Publish                TryPin (n+1)
//     dead ------------> live, 0 pins ------------> live, n pins
//       ^                 |   ^  ^                     |
//       |   Retire        |   |  +------- Unpin -------+
//       +-----------------+   |
//                         |   | EndMove(new place)
//            TryBeginMove +-> live, moving, 0 pins
//
// So readers, the mover and the liberator of one object exclude each other in one word:
//   - a pin excludes moving and freeing; while one is held, `place` does not change, nor does
//     what the pool keeps about the frames of that place;
//   - a mover only ever tries. It holds its pool's lock for the place from before TryBeginMove
//     to after EndMove, so a reader that meets `moving` waits by taking that lock;
//   - Retire requires that same lock, so it never meets `moving`.
// Pinning takes no lock: readers of different objects share nothing.
//
// Any thread may call anything. The free indices are sharded by thread. Nothing allocates from
// the heap. References to records are not handed out.
#ifndef UZSWAP_POOL_HANDLE_TABLE_H_
#define UZSWAP_POOL_HANDLE_TABLE_H_

#include <atomic>
#include <cstdint>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "os/virtual_array.h"
#include "pool/handle.h"
#include "pool/index_pool.h"

namespace uzswap {

// Where an object is: in its pool's own terms, and its first byte.
struct Location {
  static constexpr uint32_t kGrain = 16;  // offsets are multiples of it
  static constexpr uint32_t kPositionsMax = 256;

  uint32_t unit = 0;
  uint32_t position = 0;
  uint32_t frame = 0;
  uint32_t offset = 0;
  friend constexpr bool operator==(const Location&, const Location&) = default;
};

enum class PinOutcome : uint8_t { kPinned, kMoving, kStale };
enum class RetireOutcome : uint8_t { kRetired, kStale, kDoubleFree, kPinned };

class HandleTable {
 public:
  HandleTable() = default;
  // Fails if the kernel grants no address space. `capacity` counts index 0, which is not used.
  Result<void> Init(uint64_t capacity);

  // --- Allocation ---
  // A dead index to publish or return; 0 if the table is full.
  [[nodiscard]] uint32_t TakeIndex();
  void ReturnIndex(uint32_t index);
  // Makes the object known, with `pins` pins held by the caller.
  [[nodiscard]] Handle Publish(uint32_t index, size_t size, uint64_t owner_key,
                               const Location& location, uint32_t pins);

  // --- Readers ---
  [[nodiscard]] PinOutcome TryPin(Handle handle);
  void Unpin(uint32_t index);
  [[nodiscard]] bool IsLive(Handle handle) const;
  // Hints unless the caller holds a pin or the pool's lock for the place.
  [[nodiscard]] Location LocationOf(uint32_t index) const;
  [[nodiscard]] size_t SizeOf(uint32_t index) const;
  [[nodiscard]] uint64_t OwnerOf(uint32_t index) const;
  [[nodiscard]] Handle HandleOf(uint32_t index) const;
  [[nodiscard]] uint64_t PinsOf(uint32_t index) const;

  // --- Movers and the liberator. Requires: the pool's lock for the place of `index` ---
  [[nodiscard]] bool TryBeginMove(uint32_t index);
  void EndMove(uint32_t index, const Location& location);
  // Makes the object dead and its handle stale; the index is still the caller's to return.
  [[nodiscard]] RetireOutcome Retire(Handle handle);

  [[nodiscard]] uint64_t capacity() const { return records_.capacity(); }
  // Indices ever used: what the table costs in memory.
  [[nodiscard]] uint64_t touched() const { return indices_.touched(); }
  [[nodiscard]] static constexpr size_t record_size() { return sizeof(Record); }
  [[nodiscard]] uint64_t CountLiveForAudit() const;

 private:
  struct Record {
    // Every transition is a compare-and-swap, but for the end of a move. Acquire on entry to a
    // state that reads the object's place and bytes, release on leaving one that may have written
    // them.
    std::atomic<uint64_t> state;
    // Written while dead or moving, read under a pin: ordered by `state`. Atomic because a
    // thread that looks for the right lock reads it without one, and then checks again: release
    // and acquire, so that it sees which lock a unit has got that was never used before.
    std::atomic<uint64_t> location;
    // Written while dead: ordered by `state`; atomic for the same reason.
    std::atomic<uint64_t> owner_key;
  };
  static_assert(sizeof(Record) == 24);

  static constexpr uint64_t kPinMask = (uint64_t{1} << 17) - 1;
  static constexpr int kGrainShift = 17;
  static constexpr int kPositionShift = 25;
  static constexpr uint64_t kPositionAndOffsetMask = uint64_t{0xffff} << kGrainShift;
  static constexpr uint64_t kMoving = uint64_t{1} << 33;
  static constexpr uint64_t kLive = uint64_t{1} << 34;
  static constexpr int kSizeShift = 35;
  static constexpr uint64_t kSizeMask = (uint64_t{1} << 13) - 1;
  static constexpr int kGenerationShift = 48;
  static_assert(kPageSize <= kSizeMask);
  static_assert(kSizeShift + 13 == kGenerationShift);
  static_assert(kPageSize / Location::kGrain <= 256 && Location::kPositionsMax <= 256);

  static constexpr uint16_t GenerationIn(uint64_t state) {
    return static_cast<uint16_t>(state >> kGenerationShift);
  }
  static constexpr bool Names(uint64_t state, Handle handle) {
    return (state & kLive) != 0 && GenerationIn(state) == handle.generation();
  }
  static constexpr uint64_t Pack(const Location& location) {
    return (uint64_t{location.unit} << 32) | location.frame;
  }
  static constexpr uint64_t PackPositionAndOffset(const Location& location) {
    return (uint64_t{location.position} << kPositionShift) |
           (uint64_t{location.offset / Location::kGrain} << kGrainShift);
  }
  static constexpr Location Unpack(uint64_t location, uint64_t state) {
    return {static_cast<uint32_t>(location >> 32),
            static_cast<uint32_t>(state >> kPositionShift) & 0xff, static_cast<uint32_t>(location),
            (static_cast<uint32_t>(state >> kGrainShift) & 0xff) * Location::kGrain};
  }

  os::VirtualArray<Record> records_;
  IndexPool indices_;
};

// --- Readers, for whom each instruction between two pins counts ---

inline PinOutcome HandleTable::TryPin(Handle handle) {
  if (handle.index() >= records_.capacity()) return PinOutcome::kStale;
  std::atomic<uint64_t>& state = records_[handle.index()].state;
  uint64_t seen = state.load(std::memory_order_relaxed);
  do {
    if (!Names(seen, handle)) return PinOutcome::kStale;
    if ((seen & kMoving) != 0) return PinOutcome::kMoving;
    if ((seen & kPinMask) == kPinMask) Panic(__FILE__, __LINE__, "too many pins of one object");
    // Acquire pairs with Publish, EndMove and a writer's Unpin.
  } while (!state.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed));
  return PinOutcome::kPinned;
}

inline void HandleTable::Unpin(uint32_t index) {
  // Release: a mover or a liberator that sees no pin also sees that our reads are over.
  const uint64_t before = records_[index].state.fetch_sub(1, std::memory_order_release);
  UZ_CHECK((before & kPinMask) != 0);
}

inline bool HandleTable::IsLive(Handle handle) const {
  return handle.index() < records_.capacity() &&
         Names(records_[handle.index()].state.load(std::memory_order_acquire), handle);
}

inline Location HandleTable::LocationOf(uint32_t index) const {
  const Record& record = records_[index];
  const uint64_t location = record.location.load(std::memory_order_acquire);
  return Unpack(location, record.state.load(std::memory_order_relaxed));
}

inline size_t HandleTable::SizeOf(uint32_t index) const {
  return (records_[index].state.load(std::memory_order_relaxed) >> kSizeShift) & kSizeMask;
}

inline uint64_t HandleTable::OwnerOf(uint32_t index) const {
  return records_[index].owner_key.load(std::memory_order_relaxed);
}

inline Handle HandleTable::HandleOf(uint32_t index) const {
  return Handle(index, GenerationIn(records_[index].state.load(std::memory_order_relaxed)));
}

inline uint64_t HandleTable::PinsOf(uint32_t index) const {
  return records_[index].state.load(std::memory_order_relaxed) & kPinMask;
}

}  // namespace uzswap

#endif  // UZSWAP_POOL_HANDLE_TABLE_H_
