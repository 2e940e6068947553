#include "backing/batch_set.h"

#include <algorithm>
#include <utility>

namespace uzswap {

Result<void> BatchSet::Init(uint32_t count, uint32_t segment_size) {
  UZ_CHECK(count >= 2 && count <= kBatchesMax);
  Result<os::Mapping> buffers =
      os::Mapping::Create(Bytes(uint64_t{count} * segment_size), "write buffers");
  if (!buffers.ok()) return buffers.error();
  Result<os::VirtualArray<BatchItem>> items =
      os::VirtualArray<BatchItem>::Create(size_t{count} * kItemsMax, "write batches");
  if (!items.ok()) return items.error();
  buffers_ = std::move(buffers).value();
  buffers_.WipeInChildren();
  items_ = std::move(items).value();
  count_ = count;
  for (uint32_t i = count; i-- > 0;) {
    Batch& batch = batches_[i];
    batch.bytes = buffers_.data() + size_t{i} * segment_size;
    batch.items = items_.data() + size_t{i} * kItemsMax;
    batch.request.data = batch.bytes;
    batch.request.buffer = i;
    PutIdle(batch);
  }
  return {};
}

Batch* BatchSet::TakeIdle() {
  Batch* batch = idle_;
  if (batch == nullptr) return nullptr;
  idle_ = batch->next_idle;
  batch->used = 0;
  batch->count = 0;
  batch->serial = next_serial_++;
  return batch;
}

void BatchSet::PutIdle(Batch& batch) {
  batch.serial = 0;
  batch.next_idle = idle_;
  idle_ = &batch;
}

uint64_t BatchSet::OldestSerial() const {
  uint64_t oldest = next_serial_;
  for (uint32_t i = 0; i < count_; ++i) {
    if (batches_[i].serial != 0) oldest = std::min(oldest, batches_[i].serial);
  }
  return oldest;
}

}  // namespace uzswap
