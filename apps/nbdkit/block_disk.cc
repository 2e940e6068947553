#include "block_disk.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace uzswap {
namespace {

constexpr uint64_t kWordBits = 64;

uint64_t BlocksOf(uint64_t bytes) {
  return (bytes + BlockDisk::kBlockBytes - 1) / BlockDisk::kBlockBytes;
}

bool IsZero(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

BlockDisk::BlockDisk(PageCache cache, uint64_t size) : cache_(std::move(cache)), size_(size) {}

Result<std::unique_ptr<BlockDisk>> BlockDisk::Open(PageCache cache, uint64_t size) {
  internal::Require(cache.unit_bytes() == kBlockBytes, "check failed: another size of units");
  if (BlocksOf(size) > PageCache::kIndexMax) return Error{EFBIG, "size: at most 256 TiB"};
  std::unique_ptr<BlockDisk> disk(new (std::nothrow) BlockDisk(std::move(cache), size));
  if (disk == nullptr) return Error{ENOMEM, "memory for the disk"};
  const uint64_t words = BlocksOf(size) / kWordBits + 1;
  disk->bitmap_.reset(new (std::nothrow) std::atomic<uint64_t>[words]());
  if (disk->bitmap_ == nullptr) return Error{ENOMEM, "memory for the bitmap of the disk"};
  disk->area_ = disk->cache_.CreateArea(PageCache::Lifetime::kPersistent);
  if (disk->area_ == 0) return Error{ENOSPC, "an area of the cache"};
  return disk;
}

bool BlockDisk::HoldsData(uint64_t block) const {
  const uint64_t word = bitmap_[block / kWordBits].load(std::memory_order_relaxed);
  return (word >> (block % kWordBits) & 1) != 0;
}

void BlockDisk::SetHoldsData(uint64_t block, bool holds) {
  const uint64_t bit = uint64_t{1} << (block % kWordBits);
  std::atomic<uint64_t>& word = bitmap_[block / kWordBits];
  if (holds) {
    word.fetch_or(bit, std::memory_order_relaxed);
  } else {
    word.fetch_and(~bit, std::memory_order_relaxed);
  }
}

template <typename Part>
int BlockDisk::ForEachBlock(uint64_t offset, uint64_t length, Part&& part) {
  internal::Require(offset <= size_ && length <= size_ - offset,
                    "check failed: beyond the end of the disk");
  for (uint64_t done = 0; done < length;) {
    const uint64_t block = (offset + done) / kBlockBytes;
    const uint64_t from = (offset + done) % kBlockBytes;
    const uint64_t count = std::min(length - done, kBlockBytes - from);
    const std::lock_guard lock(LockOf(block));
    if (const int error = part(block, from, done, count); error != 0) return error;
    done += count;
  }
  return 0;
}

int BlockDisk::LoadBlock(uint64_t block, std::span<std::byte> to) {
  if (!HoldsData(block)) {
    std::fill(to.begin(), to.end(), std::byte{0});
    return 0;
  }
  // A block that is missing was lost when a write of it was refused.
  return cache_.Load(area_, block, to) == PageCache::Loaded::kLoaded ? 0 : EIO;
}

int BlockDisk::StoreBlock(uint64_t block, std::span<const std::byte> from) {
  if (IsZero(from)) {
    if (!HoldsData(block)) return 0;
    static_cast<void>(cache_.Invalidate(area_, block));
    SetHoldsData(block, false);
    return 0;
  }
  const PageCache::Stored stored = cache_.Store(area_, block, from);
  SetHoldsData(block, true);
  return stored == PageCache::Stored::kStored ? 0 : ENOSPC;
}

int BlockDisk::Read(uint64_t offset, std::span<std::byte> bytes) {
  return ForEachBlock(offset, bytes.size(),
                      [&](uint64_t block, uint64_t from, uint64_t at, uint64_t count) {
                        if (count == kBlockBytes) return LoadBlock(block, bytes.subspan(at, count));
                        Block whole;
                        if (const int error = LoadBlock(block, whole); error != 0) return error;
                        std::copy_n(whole.data() + from, count, bytes.data() + at);
                        return 0;
                      });
}

int BlockDisk::Write(uint64_t offset, std::span<const std::byte> bytes) {
  return ForEachBlock(offset, bytes.size(),
                      [&](uint64_t block, uint64_t from, uint64_t at, uint64_t count) {
                        if (count == kBlockBytes)
                          return StoreBlock(block, bytes.subspan(at, count));
                        Block whole;
                        if (const int error = LoadBlock(block, whole); error != 0) return error;
                        std::copy_n(bytes.data() + at, count, whole.data() + from);
                        return StoreBlock(block, whole);
                      });
}

int BlockDisk::Zero(uint64_t offset, uint64_t length) {
  return ForEachBlock(offset, length,
                      [&](uint64_t block, uint64_t from, uint64_t /*at*/, uint64_t count) {
                        if (!HoldsData(block)) return 0;
                        Block whole{};
                        if (count < kBlockBytes) {
                          if (const int error = LoadBlock(block, whole); error != 0) return error;
                          std::fill_n(whole.data() + from, count, std::byte{0});
                        }
                        return StoreBlock(block, whole);
                      });
}

BlockDisk::Extent BlockDisk::ExtentAt(uint64_t offset, uint64_t length) const {
  const uint64_t end = std::min(offset + length, size_);
  uint64_t block = offset / kBlockBytes;
  const bool holds = HoldsData(block);
  // Whole words of the same kind are skipped at once.
  const uint64_t other = holds ? ~uint64_t{0} : 0;
  for (++block; block * kBlockBytes < end;) {
    const uint64_t word = bitmap_[block / kWordBits].load(std::memory_order_relaxed) ^ other;
    const uint64_t rest = word >> (block % kWordBits);
    if (rest != 0) {
      block += static_cast<uint64_t>(std::countr_zero(rest));
      break;
    }
    block = (block / kWordBits + 1) * kWordBits;
  }
  return {std::min(block * kBlockBytes, end) - offset, holds};
}

}  // namespace uzswap
