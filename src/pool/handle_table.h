// HandleTable: maps a handle to its object's location, and decides who may move or free the object.
//
// One record of 24 bytes for each object:
//
//     state       generation:16 | size:13 | live:1 | moving:1 | position:8 | offset:8 | pins:17
//     location    unit:32 | frame:32      (the next free index while the record is dead)
//     owner_key   the key by which the owner identifies the object if only the frame is known
//
// The pool uses unit and position to find the object in its lists. A reader uses frame and offset
// to find the object's first byte. The record stores both forms of the same location. So a pinned
// read has two cache misses, the record and the bytes, independent of the pool's other tables.
//
// States, and all transitions between them:
//
//              Publish                TryPin (n+1)
//     dead ------------> live, 0 pins ------------> live, n pins
//       ^                 |   ^  ^                     |
//       |   Retire        |   |  +------- Unpin -------+
//       +-----------------+   |
//                         |   | EndMove(new location)
//            TryBeginMove +-> live, moving, 0 pins
//
// So one state word makes the readers, the mover and the thread that frees an object exclude each
// other:
//   - A pin excludes moving and freeing. While an object is pinned, `location` does not change, and
//     the pool's data about the frames of that location does not change.
//   - A mover only tries. It holds the pool's lock for the location from before TryBeginMove until
//     after EndMove. A reader that finds `moving` waits by taking that lock.
//   - Retire requires the same lock, so it never finds `moving`.
// Pinning takes no lock. Readers of different objects share no data.
//
// Any thread may call any function. The free indices are sharded by thread. Nothing allocates from
// the heap. References to records are not given to callers.
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

// Where an object lies: unit and position for the pool's lists, frame and offset of its first byte.
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
  // Fails if the kernel grants no address space. `capacity` includes index 0, which is not used.
  Result<void> Init(uint64_t capacity);

  // --- Allocation ---
  // A dead index, which the caller publishes or returns; 0 if the table is full.
  [[nodiscard]] uint32_t TakeIndex();
  void ReturnIndex(uint32_t index);
  // Makes the object live. The caller holds `pins` pins.
  [[nodiscard]] Handle Publish(uint32_t index, size_t size, uint64_t owner_key,
                               const Location& location, uint32_t pins);

  // --- Readers ---
  [[nodiscard]] PinOutcome TryPin(Handle handle);
  void Unpin(uint32_t index);
  [[nodiscard]] bool IsLive(Handle handle) const;
  // Hints unless the caller holds a pin or the pool's lock for the location.
  [[nodiscard]] Location LocationOf(uint32_t index) const;
  [[nodiscard]] size_t SizeOf(uint32_t index) const;
  [[nodiscard]] uint64_t OwnerOf(uint32_t index) const;
  [[nodiscard]] Handle HandleOf(uint32_t index) const;

  // --- Moving and freeing. Requires: the pool's lock for the location of `index` ---
  [[nodiscard]] bool TryBeginMove(uint32_t index);
  void EndMove(uint32_t index, const Location& location);
  // Makes the object dead and its handle stale. The caller then returns the index.
  [[nodiscard]] RetireOutcome Retire(Handle handle);

  [[nodiscard]] uint64_t capacity() const { return records_.capacity(); }
  // How many indices were ever used. This is the part of the table that uses memory.
  [[nodiscard]] uint64_t touched() const { return indices_.touched(); }
  [[nodiscard]] static constexpr size_t record_size() { return sizeof(Record); }
  [[nodiscard]] uint64_t CountLiveForAudit() const;

 private:
  struct Record {
    // A transition is a compare-and-swap, except Publish, Unpin and EndMove, whose callers own the
    // record or only subtract a pin. Entering a state that reads the object's location and bytes is
    // acquire. Leaving a state that may have written them is release.
    std::atomic<uint64_t> state;
    // Written while dead or moving, read under a pin: ordered by `state`. It is atomic because a
    // thread that searches for the right lock reads it without a lock, and then checks it again.
    // Release and acquire: that thread also sees the home of a unit that was never used before.
    std::atomic<uint64_t> location;
    // Written while dead: ordered by `state`. It is atomic for the same reason.
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

  // Reached as far as indices_.touched(). Readers need no lock: their index was allocated.
  os::VirtualArray<Record> records_;
  Mutex growth_mutex_{LockRank::kLeaf};  // one thread at a time lets records_ grow
  IndexPool indices_;
};

// --- Readers. These are inline because they are the fast path of every read ---

inline PinOutcome HandleTable::TryPin(Handle handle) {
  if (handle.index() >= indices_.touched()) return PinOutcome::kStale;
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
  // Release: a mover or a thread that frees the object, and sees no pin, also sees that our reads
  // have ended.
  const uint64_t before = records_[index].state.fetch_sub(1, std::memory_order_release);
  UZ_CHECK((before & kPinMask) != 0);
}

inline bool HandleTable::IsLive(Handle handle) const {
  return handle.index() < indices_.touched() &&
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

}  // namespace uzswap

#endif  // UZSWAP_POOL_HANDLE_TABLE_H_
