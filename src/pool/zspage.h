// Zspage: up to 16 frames, used as one row of equal positions. Any of the frames can be missing.
//
//     frames    [ 0 ][ 1 ][ - ][ 3 ]          '-': no position in it is in use, so it is missing
//     positions     |a|b|.|c|.|.|.|d|.|           a position may straddle two frames
//     block     frames[16] live bits  positions[n]
//                                     the handle's index of each object (the back-pointer)
//
// A zspage allocates a frame only when a position in it is first used. It frees the frame as soon
// as the frame's last object is gone, even if other frames of the zspage are in use. So evicting or
// freeing the three objects of a frame frees that frame. (The kernel's zspage keeps all its frames
// until the whole zspage is empty.) See decision 0012.
//
// A position is *backed* if all its frames exist. live <= backed <= positions.
//
// The record has 64 bytes. Frame numbers and back-pointers are in a block, whose length depends on
// the class. Both are outside the frames, so allocating and freeing do not touch the frames.
//
// Nothing here takes a lock, except ZspageTable. The lock of the zspage's group guards the zspage.
// As an exception, the holder of a pin on an object may read the numbers of that object's frames.
#ifndef UZSWAP_POOL_ZSPAGE_H_
#define UZSWAP_POOL_ZSPAGE_H_

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "os/virtual_array.h"
#include "pool/index_pool.h"
#include "pool/size_class.h"

namespace uzswap {

enum class ZspageState : uint8_t { kNeverUsed, kUnused, kListed, kUnderReclaim };

// One cache line each: neighbouring records may belong to different threads.
struct alignas(kCacheLineSize) Zspage {
  ListLink fullness_link;
  ListLink age_link;
  // The time of the last addition. While the zspage is unused: the link of the free numbers.
  std::atomic<uint64_t> stamp;
  // Where its block begins, in units of kBlockUnit words, and how many units it has. An unused
  // zspage keeps its block for the next use with the same length.
  uint32_t block;
  // The group of the zspage, see zsmalloc_pool.h. Read without a lock to find the lock. Changed
  // under the lock of the group that it names.
  std::atomic<uint16_t> home;
  uint16_t present;  // bit k: frame k exists
  uint16_t live;
  uint16_t backed;
  ZspageState state;
  uint8_t list;  // the list of its group that has it
  uint8_t block_units;

  [[nodiscard]] bool is_used() const {
    return state == ZspageState::kListed || state == ZspageState::kUnderReclaim;
  }
};
static_assert(sizeof(Zspage) == 64);

inline constexpr uint32_t kNoPosition = UINT32_MAX;
inline constexpr uint32_t kNoFrame = UINT32_MAX;

// A zspage with its geometry and its block. The algorithms use this view.
class ZspageView {
 public:
  ZspageView(Zspage& page, const SizeClass& size_class, uint32_t* block)
      : page_(page), class_(size_class), block_(block) {}

  static constexpr uint32_t BlockWords(const SizeClass& c) {
    return c.frames + 2 * LiveWords(c) + c.positions;
  }

  [[nodiscard]] uint32_t frame(uint32_t k) const { return block_[k]; }
  void SetFrame(uint32_t k, uint32_t frame) { block_[k] = frame; }
  [[nodiscard]] uint32_t object(uint32_t position) const { return positions()[position]; }
  [[nodiscard]] bool IsLive(uint32_t position) const {
    return ((live_bits(position / 64) >> (position % 64)) & 1) != 0;
  }
  [[nodiscard]] bool HasFrame(uint32_t k) const { return ((page_.present >> k) & 1) != 0; }
  [[nodiscard]] bool IsBacked(uint32_t position) const {
    return HasFrame(class_.FirstFrameOf(position)) && HasFrame(class_.LastFrameOf(position));
  }

  // Makes the zspage empty: no frames, no objects.
  void Clear();
  void AddObject(uint32_t position, uint32_t index);
  void RemoveObject(uint32_t position);
  // Requires: AddFrame: the frame is missing. RemoveFrame: it exists and has no live object.
  void AddFrame(uint32_t k, uint32_t frame);
  void RemoveFrame(uint32_t k);

  [[nodiscard]] uint32_t CountLiveIn(uint32_t k) const;
  // The lowest live position in [from, end); kNoPosition if there is none.
  [[nodiscard]] uint32_t NextLive(uint32_t from, uint32_t end) const;
  // A free backed position with no bytes in frame `except`; kNoPosition if there is none.
  [[nodiscard]] uint32_t FindBacked(uint32_t except = kNoFrame) const;
  // The free position that costs the least to back: first a position that straddles an existing
  // frame and a missing one, then one inside a missing frame, then one that needs two frames.
  // kNoPosition if there is none.
  [[nodiscard]] uint32_t FindUnbacked() const;
  // The frame with the fewest live objects; kNoFrame if all frames are missing.
  [[nodiscard]] uint32_t SparsestFrame() const;

  void Audit() const;

 private:
  static constexpr uint32_t LiveWords(const SizeClass& c) { return (c.positions + 63u) / 64; }
  [[nodiscard]] uint64_t live_bits(uint32_t word) const {
    const uint32_t* at = block_ + class_.frames + size_t{2} * word;
    return at[0] | (uint64_t{at[1]} << 32);
  }
  void set_live_bits(uint32_t word, uint64_t bits) {
    uint32_t* at = block_ + class_.frames + size_t{2} * word;
    at[0] = static_cast<uint32_t>(bits);
    at[1] = static_cast<uint32_t>(bits >> 32);
  }
  [[nodiscard]] uint32_t* positions() const {
    return block_ + class_.frames + size_t{2} * LiveWords(class_);
  }
  [[nodiscard]] uint32_t NextFree(uint32_t from, uint32_t end) const;
  [[nodiscard]] uint32_t CountBacked() const;

  Zspage& page_;
  const SizeClass& class_;
  uint32_t* block_;
};

// The records and blocks of all zspages of a pool. Any thread may take and return zspages.
class ZspageTable {
 public:
  ZspageTable() = default;
  // `frames`: the largest number of frames; each zspage has at least one.
  Result<void> Init(uint64_t frames);

  // Returns a cleared, unused zspage for the class; 0 if there is none.
  [[nodiscard]] uint32_t Take(const SizeClass& size_class);
  void Return(uint32_t unit);

  [[nodiscard]] uint64_t capacity() const { return pages_.capacity(); }
  // All zspages below it can be read. See IndexPool.
  [[nodiscard]] uint64_t touched() const { return units_.touched(); }
  Zspage& operator[](uint32_t unit) { return pages_[unit]; }
  [[nodiscard]] uint32_t UnitOf(const Zspage& page) const {
    return static_cast<uint32_t>(&page - pages_.data());
  }
  ZspageView View(Zspage& page, const SizeClass& size_class) {
    return {page, size_class, words_.data() + size_t{page.block} * kBlockUnit};
  }
  [[nodiscard]] uint64_t metadata_bytes() const;

 private:
  static constexpr uint32_t kBlockUnit = 8;
  static constexpr uint32_t kBlockUnitsMax =
      (kChainMax + 2 * kPositionsMax / 64 + kPositionsMax + kBlockUnit - 1) / kBlockUnit;

  static constexpr uint32_t BlockUnits(const SizeClass& c) {
    return (ZspageView::BlockWords(c) + kBlockUnit - 1) / kBlockUnit;
  }
  bool AssignBlock(Zspage& page, uint32_t units);

  os::VirtualArray<Zspage> pages_;       // reached as far as units_.touched()
  os::VirtualArray<uint32_t> words_;     // reached as far as next_block_; grows under mutex_
  Mutex growth_mutex_{LockRank::kLeaf};  // one thread at a time lets pages_ grow
  IndexPool units_;
  // Locked only if the new class of a zspage needs another block length than its last class.
  mutable Mutex mutex_{LockRank::kHandleTable};
  // Free blocks by length, linked through their first word; 0 ends a chain.
  uint32_t free_blocks_[kBlockUnitsMax + 1] UZ_GUARDED_BY(mutex_) = {};
  uint32_t next_block_ UZ_GUARDED_BY(mutex_) = 1;
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_ZSPAGE_H_
