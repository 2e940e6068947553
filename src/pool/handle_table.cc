#include "pool/handle_table.h"

#include <utility>

namespace uzswap {
Result<void> HandleTable::Init(uint64_t capacity) {
  UZ_CHECK_LE(capacity, uint64_t{UINT32_MAX});
  auto records = os::VirtualArray<Record>::Reserve(capacity, "handle table");
  if (!records.ok()) return records.error();
  records_ = std::move(records).value();
  indices_.Init(capacity);
  return {};
}

uint32_t HandleTable::TakeIndex() {
  return indices_.Take(
      [this](uint32_t i) -> auto& { return records_[i].location; },
      [this](uint64_t count) {
        MutexLock lock(growth_mutex_);
        return records_.Reach(count);
      });
}

void HandleTable::ReturnIndex(uint32_t index) {
  UZ_DCHECK((records_[index].state.load(std::memory_order_relaxed) & kLive) == 0);
  indices_.Put(
      index, [this](uint32_t i) -> auto& { return records_[i].location; });
}

Handle HandleTable::Publish(uint32_t index, size_t size, uint64_t owner_key,
                            const Location& location, uint32_t pins) {
  Record& record = records_[index];
  const uint64_t before = record.state.load(std::memory_order_relaxed);
  UZ_CHECK((before & kLive) == 0);
  record.location.store(Pack(location), std::memory_order_release);
  record.owner_key.store(owner_key, std::memory_order_relaxed);
  const uint16_t generation = GenerationIn(before);
  const uint64_t state = (uint64_t{generation} << kGenerationShift) |
                         (uint64_t{size} << kSizeShift) | kLive | PackPositionAndOffset(location) |
                         pins;
  record.state.store(state, std::memory_order_release);
  return Handle(index, generation);
}

bool HandleTable::TryBeginMove(uint32_t index) {
  std::atomic<uint64_t>& state = records_[index].state;
  uint64_t seen = state.load(std::memory_order_relaxed);
  if ((seen & kLive) == 0 || (seen & (kMoving | kPinMask)) != 0) return false;
  return state.compare_exchange_strong(seen, seen | kMoving, std::memory_order_acquire,
                                       std::memory_order_relaxed);
}

void HandleTable::EndMove(uint32_t index, const Location& location) {
  Record& record = records_[index];
  record.location.store(Pack(location), std::memory_order_release);
  // No other thread writes the state of an object that is being moved.
  const uint64_t before = record.state.load(std::memory_order_relaxed);
  UZ_CHECK((before & kMoving) != 0);
  record.state.store(
      (before & ~(kMoving | kPositionAndOffsetMask)) | PackPositionAndOffset(location),
      std::memory_order_release);
}

RetireOutcome HandleTable::Retire(Handle handle) {
  if (handle.index() >= indices_.touched()) return RetireOutcome::kStale;
  std::atomic<uint64_t>& state = records_[handle.index()].state;
  uint64_t seen = state.load(std::memory_order_relaxed);
  const uint16_t next = static_cast<uint16_t>(handle.generation() + 1);
  do {
    if (!Names(seen, handle)) {
      const bool just_freed = (seen & kLive) == 0 && GenerationIn(seen) == next;
      return just_freed ? RetireOutcome::kDoubleFree : RetireOutcome::kStale;
    }
    if ((seen & kPinMask) != 0) return RetireOutcome::kPinned;
    UZ_CHECK((seen & kMoving) == 0);
  } while (!state.compare_exchange_weak(seen, uint64_t{next} << kGenerationShift,
                                        std::memory_order_acq_rel, std::memory_order_relaxed));
  return RetireOutcome::kRetired;
}

uint64_t HandleTable::CountLiveForAudit() const {
  uint64_t live = 0;
  for (uint64_t i = 1; i < indices_.touched(); ++i) {
    const uint64_t state = records_[i].state.load(std::memory_order_acquire);
    if ((state & kLive) != 0) ++live;
    UZ_CHECK((state & kMoving) == 0);
  }
  return live;
}

}  // namespace uzswap
