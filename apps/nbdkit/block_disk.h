// BlockDisk: a disk of any size whose blocks are units of a PageCache.
//
//     bytes:   |  block 0  |  block 1  |  block 2  | ...                4 KiB each
//     bitmap:        1           0           1                          0: reads as zero
//     cache:      stored                  stored
//
// A write of a part of a block loads the block, changes it and stores it again, under the lock of
// the block's stripe. So writes to one block take effect one after the other, and a read sees all
// of a write to a block, or nothing of it. A block that is written with zeroes is not stored.
//
// A write that the cache refuses fails with ENOSPC, and the block then has neither the old nor the
// new content: reading it fails with EIO until it is written again. It never reads as zero.
//
// Any thread may call any function; none may run when the disk is destroyed.
#ifndef UZSWAP_APPS_NBDKIT_BLOCK_DISK_H_
#define UZSWAP_APPS_NBDKIT_BLOCK_DISK_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "uzswap/page_cache.h"

namespace uzswap {

class BlockDisk {
 public:
  static constexpr uint64_t kBlockBytes = 4096;

  // The cache must have units of kBlockBytes. Fails with EFBIG above 256 TiB,
  // with ENOMEM, and with ENOSPC if the cache has no area.
  static Result<std::unique_ptr<BlockDisk>> Open(PageCache cache, uint64_t size);
  BlockDisk(const BlockDisk&) = delete;
  BlockDisk& operator=(const BlockDisk&) = delete;

  [[nodiscard]] uint64_t size() const { return size_; }

  // Each returns 0 or an errno: ENOSPC or EIO. Requires: the range lies in the disk.
  int Read(uint64_t offset, std::span<std::byte> bytes);
  int Write(uint64_t offset, std::span<const std::byte> bytes);
  // The range reads as zero afterwards. Whole blocks give their memory back.
  int Zero(uint64_t offset, uint64_t length);

  struct Extent {
    uint64_t length = 0;
    bool holds_data = false;
  };
  // The longest extent of one kind that begins at `offset`, at most `length`.
  [[nodiscard]] Extent ExtentAt(uint64_t offset, uint64_t length) const;

  [[nodiscard]] PageCache::Statistics statistics() const { return cache_.statistics(); }

 private:
  static constexpr size_t kStripes = 1024;
  using Block = std::array<std::byte, kBlockBytes>;

  BlockDisk(PageCache cache, uint64_t size);

  [[nodiscard]] std::mutex& LockOf(uint64_t block) { return stripes_[block % kStripes]; }
  [[nodiscard]] bool HoldsData(uint64_t block) const;
  void SetHoldsData(uint64_t block, bool holds);
  // The lock of the block is held.
  int LoadBlock(uint64_t block, std::span<std::byte> to);
  int StoreBlock(uint64_t block, std::span<const std::byte> from);
  // Calls part(block, offset in the block, offset in the range, length) for each block of a range,
  // under its lock; stops at the first that does not return 0.
  template <typename Part>
  int ForEachBlock(uint64_t offset, uint64_t length, Part&& part);

  PageCache cache_;
  const uint64_t size_;
  PageCache::Area area_ = 0;
  // A bit for each block. Relaxed: the lock of the block orders its content.
  std::unique_ptr<std::atomic<uint64_t>[]> bitmap_;
  std::array<std::mutex, kStripes> stripes_;
};

}  // namespace uzswap

#endif  // UZSWAP_APPS_NBDKIT_BLOCK_DISK_H_
