#include "system/churn/heap_bag.h"

#include <algorithm>
#include <cstdlib>

#include "system/churn/history.h"
#include "system/churn/pattern.h"

namespace uzswap::churn {

HeapBag::~HeapBag() {
  for (const Block& block : blocks_) std::free(block.data);
}

size_t HeapBag::RandomSize() {
  const uint64_t draw = rng_.Below(100);
  if (draw < 70) return 16 + rng_.Below(2000);
  if (draw < 90) return 2000 + rng_.Below(30000);
  if (draw < 98) return 30000 + rng_.Below(300000);
  return 300000 + rng_.Below(std::max<size_t>(bytes_max_ / 6, 1000));
}

void HeapBag::Allocate() {
  const size_t size = RandomSize();
  const bool zeroed = rng_.OneIn(3);
  auto* data = static_cast<std::byte*>(zeroed ? std::calloc(1, size) : std::malloc(size));
  if (data == nullptr) FailCall("malloc");
  if (zeroed) {
    for (size_t i = 0; i < size; ++i) {
      if (data[i] != std::byte{0}) FailBytes("reading after calloc", 0, data, i, size);
    }
  }
  const uint64_t tag = tag_base_ + ++tags_;
  FillBytes(tag, data, size);
  blocks_.push_back({data, size, tag});
  bytes_ += size;
}

void HeapBag::Reallocate(Block& block) {
  Verify(block, "reading before realloc");
  const size_t size = RandomSize();
  auto* data = static_cast<std::byte*>(std::realloc(block.data, size));
  if (data == nullptr) FailCall("realloc");
  const size_t kept = std::min(size, block.size);
  const size_t wrong = FirstDifference(block.tag, data, kept);
  if (wrong != kept) FailBytes("reading after realloc", block.tag, data, wrong, kept);
  bytes_ = bytes_ - block.size + size;
  block = {data, size, tag_base_ + ++tags_};
  FillBytes(block.tag, block.data, block.size);
}

void HeapBag::Release(size_t index) {
  Verify(blocks_[index], "reading before free");
  std::free(blocks_[index].data);
  bytes_ -= blocks_[index].size;
  blocks_[index] = blocks_.back();
  blocks_.pop_back();
}

void HeapBag::Verify(const Block& block, const char* where) {
  const size_t wrong = FirstDifference(block.tag, block.data, block.size);
  if (wrong != block.size) FailBytes(where, block.tag, block.data, wrong, block.size);
}

void HeapBag::Step() {
  while (bytes_ > bytes_max_ && !blocks_.empty()) Release(rng_.Below(blocks_.size()));
  for (int i = 0; i < 16; ++i) Allocate();
  for (int i = 0; i < 4; ++i) Reallocate(blocks_[rng_.Below(blocks_.size())]);
  for (int i = 0; i < 8 && blocks_.size() > 1; ++i) Release(rng_.Below(blocks_.size()));
}

void HeapBag::VerifySome(size_t blocks) {
  if (blocks_.empty()) return;
  for (size_t i = 0; i < blocks; ++i) {
    Verify(blocks_[rng_.Below(blocks_.size())], "reading a block");
  }
}

void HeapBag::VerifyAll(const char* where) const {
  for (const Block& block : blocks_) Verify(block, where);
}

}  // namespace uzswap::churn
