#include "pager/swap_in.h"

#include <algorithm>
#include <utility>

namespace uzswap {

Result<void> SwapIn::Init(PageStore* store) {
  store_ = store;
  auto memory = os::Mapping::Create(Bytes(kReadsMax * kPageSize), "the swap-in buffer");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  return {};
}

void SwapIn::Change(Buffer& buffer, State to) {
  in_use_ -= buffer.state == State::kEmpty ? 0 : 1;
  in_use_ += to == State::kEmpty ? 0 : 1;
  buffer.state = to;
  if (to == State::kEmpty || to == State::kStale) buffer.slot = SwapSlot();
}

SwapIn::Buffer* SwapIn::BufferOf(SwapSlot slot) {
  if (in_use_ == 0) return nullptr;
  for (Buffer& buffer : buffers_) {
    if (buffer.slot == slot) return &buffer;
  }
  return nullptr;
}

SwapIn::Found SwapIn::Find(SwapSlot slot) {
  Buffer* buffer = BufferOf(slot);
  if (buffer == nullptr) return {};
  buffer->used_pass = pass_;
  switch (buffer->state) {
    case State::kLoaded:
      return {Held::kLoaded, PageOf(static_cast<size_t>(buffer - buffers_)), 0};
    case State::kFailed:
      return {Held::kFailed, nullptr, buffer->error};
    case State::kWanted:
    case State::kReading:
      return {Held::kComing, nullptr, 0};
    case State::kEmpty:
    case State::kStale:
      break;
  }
  return {};
}

SwapIn::Buffer* SwapIn::FreeBuffer() {
  for (Buffer& buffer : buffers_) {
    if (buffer.state == State::kEmpty) return &buffer;
  }
  for (Buffer& buffer : buffers_) {
    const bool final = buffer.state == State::kLoaded || buffer.state == State::kFailed;
    if (final && buffer.used_pass + 1 < pass_) return &buffer;
  }
  return nullptr;
}

void SwapIn::Request(SwapSlot slot) {
  if (BufferOf(slot) != nullptr) return;
  Buffer* buffer = FreeBuffer();
  if (buffer == nullptr) return;
  Change(*buffer, State::kWanted);
  buffer->slot = slot;
  buffer->used_pass = pass_;
}

bool SwapIn::RequestAhead(SwapSlot slot) {
  if (ahead_count_ == kReadsMax) return false;
  ahead_[ahead_count_++] = slot;
  return true;
}

void SwapIn::Begin(bool ahead, Batch* batch) {
  batch->count = 0;
  batch->ahead = false;
  for (Buffer& buffer : buffers_) {
    if (buffer.state != State::kWanted) continue;
    Change(buffer, State::kReading);
    batch->slots[batch->count] = buffer.slot;
    batch->buffers[batch->count] = static_cast<uint8_t>(&buffer - buffers_);
    ++batch->count;
  }
  if (batch->count > 0 || !ahead) return;
  // A few at a time: a fault that comes meanwhile waits for hardly more than one read.
  batch->ahead = true;
  batch->count = std::min(ahead_count_, kAheadMax);
  std::copy_n(ahead_, batch->count, batch->slots);
  std::copy(ahead_ + batch->count, ahead_ + ahead_count_, ahead_);
  ahead_count_ -= batch->count;
}

// A slot can be freed, or allocated to another page, meanwhile. Then what is read is dropped, or is
// ahead of somebody who may want it.
void SwapIn::Read(CacheContext& context, Batch* batch) const {
  store_->Prefetch(context, {batch->slots, batch->count});
  if (batch->ahead) return;
  for (size_t i = 0; i < batch->count; ++i) {
    const PageBytes page(PageOf(batch->buffers[i]), kPageSize);
    // A device can fail once and then work: a page is given up only after a second read.
    for (int tries = 0; tries < 2; ++tries) {
      batch->outcomes[i] = store_->LoadIfStored(context, batch->slots[i], page);
      if (batch->outcomes[i] != LoadedPage::kLost) break;
    }
    batch->errors[i] = context.last_error();
  }
}

void SwapIn::Finish(const Batch& batch) {
  if (batch.ahead) return;
  for (size_t i = 0; i < batch.count; ++i) {
    Buffer& buffer = buffers_[batch.buffers[i]];
    const LoadedPage outcome = batch.outcomes[i];
    if (buffer.state == State::kStale || outcome == LoadedPage::kGone) {
      Change(buffer, State::kEmpty);
      continue;
    }
    UZ_CHECK_EQ(buffer.state, State::kReading);
    buffer.error = batch.errors[i];
    Change(buffer, outcome == LoadedPage::kLoaded ? State::kLoaded : State::kFailed);
  }
}

void SwapIn::SlotFreed(SwapSlot slot) {
  Buffer* buffer = BufferOf(slot);
  if (buffer == nullptr) return;
  Change(*buffer, buffer->state == State::kReading ? State::kStale : State::kEmpty);
}

void SwapIn::Reset() {
  for (Buffer& buffer : buffers_) Change(buffer, State::kEmpty);
  ahead_count_ = 0;
}

}  // namespace uzswap
