// HandleTable: from a handle to the place of its object, and who may move or free it now.
//
// One record of 24 bytes for each object:
//
//     state       generation:16 | size:13 | live:1 | moving:1 | pins:33
//     place       unit:32 | slot:16       (the next free index while the record is dead)
//     owner_key   what the owner wants to find again from the frame alone
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

// Where an object is, in its pool's own terms.
struct Place {
  uint32_t unit = 0;
  uint16_t slot = 0;
  friend constexpr bool operator==(Place, Place) = default;
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
  [[nodiscard]] Handle Publish(uint32_t index, size_t size, uint64_t owner_key, Place place,
                               uint32_t pins);

  // --- Readers ---
  [[nodiscard]] PinOutcome TryPin(Handle handle);
  void Unpin(uint32_t index);
  [[nodiscard]] bool IsLive(Handle handle) const;
  // Hints unless the caller holds a pin or the pool's lock for the place.
  [[nodiscard]] Place PlaceOf(uint32_t index) const;
  [[nodiscard]] size_t SizeOf(uint32_t index) const;
  [[nodiscard]] uint64_t OwnerOf(uint32_t index) const;
  [[nodiscard]] Handle HandleOf(uint32_t index) const;
  [[nodiscard]] uint64_t PinsOf(uint32_t index) const;

  // --- Movers and the liberator. Requires: the pool's lock for the place of `index` ---
  [[nodiscard]] bool TryBeginMove(uint32_t index);
  void EndMove(uint32_t index, Place place);
  // Makes the object dead and its handle stale; the index is still the caller's to return.
  [[nodiscard]] RetireOutcome Retire(Handle handle);

  // Indices ever used: what the table costs in memory.
  [[nodiscard]] uint64_t touched() const { return indices_.touched(); }
  [[nodiscard]] static constexpr size_t record_size() { return sizeof(Record); }
  [[nodiscard]] uint64_t CountLiveForAudit() const;

 private:
  struct Record {
    // Every transition is a compare-and-swap. Acquire on entry to a state that reads the
    // object's place and bytes, release on leaving one that may have written them.
    std::atomic<uint64_t> state;
    // Written while dead or moving, read under a pin: ordered by `state`. Atomic because a
    // thread that looks for the right lock reads it without one, and then checks again.
    std::atomic<uint64_t> place;
    // Written while dead: ordered by `state`; atomic for the same reason.
    std::atomic<uint64_t> owner_key;
  };
  static_assert(sizeof(Record) == 24);

  os::VirtualArray<Record> records_;
  IndexPool indices_;
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_HANDLE_TABLE_H_
