#include "backing/segment_table.h"

#include <algorithm>
#include <utility>

namespace uzswap {

Result<void> SegmentTable::Init(uint32_t segments, uint32_t capacity) {
  UZ_CHECK_LE(segments, capacity);
  Result<os::VirtualArray<Row>> rows = os::VirtualArray<Row>::Create(capacity, "segment table");
  if (!rows.ok()) return rows.error();
  rows_ = std::move(rows).value();
  capacity_ = capacity;
  own_max_ = segments;
  return {};
}

// The states of inherited segments are the parent's, and do not matter here.
void SegmentTable::ResetAfterFork() {
  mutex_.ResetAfterFork();
  MutexLock lock(mutex_);
  first_ = grown_;
  emptied_ = free_ = held_ = kNone;
  emptied_count_ = holds_ = allocated_ = 0;
  inherited_live_bytes_.Add(live_bytes_.Get());
  live_bytes_.Set(0);
  held_bytes_.Set(0);
  in_use_.Set(0);
}

// A segment that has no space on the medium yet.
uint32_t SegmentTable::TakeFresh() {
  if (free_ == kNone) return grown_ < capacity_ ? grown_++ : kNone;
  const uint32_t segment = free_;
  free_ = rows_[segment].next;
  return segment;
}

uint32_t SegmentTable::AllocatedWith(uint32_t more) {
  MutexLock lock(mutex_);
  return allocated_ + more - std::min(more, emptied_count_);
}

uint32_t SegmentTable::Available(bool may_grow) const {
  const uint32_t busy = allocated_ - emptied_count_;
  const uint32_t available = limit() > busy ? limit() - busy : 0;
  return may_grow ? available : std::min(available, emptied_count_);
}

uint32_t SegmentTable::Take(uint32_t spare, bool may_grow) {
  uint32_t segment = kNone;
  MutexLock lock(mutex_);
  if (Available(may_grow) <= spare) return kNone;
  if (emptied_ != kNone) {
    segment = emptied_;
    emptied_ = rows_[segment].next;
    --emptied_count_;
    held_bytes_.Sub(rows_[segment].used);
  } else {
    segment = TakeFresh();
    if (segment == kNone) return kNone;
    ++allocated_;
  }
  Row& row = rows_[segment];
  UZ_CHECK_EQ(row.live.load(std::memory_order_relaxed), 0u);
  row.used = 0;
  row.cleaning_since = 0;
  row.generation.fetch_add(1, std::memory_order_relaxed);
  row.state.store(State::kFilling, std::memory_order_release);
  in_use_.Add();
  return segment;
}

void SegmentTable::Seal(uint32_t segment, uint32_t bytes) {
  Row& row = rows_[segment];
  UZ_CHECK_EQ(row.state.load(std::memory_order_relaxed), State::kFilling);
  {
    MutexLock lock(mutex_);
    row.used = bytes;
    row.sealed_at = epoch_;
    held_bytes_.Add(bytes);
    row.state.store(State::kSealed, std::memory_order_release);
  }
  ReleaseIfEmpty(segment);
}

void SegmentTable::Spoil(uint32_t segment, bool bad) {
  Row& row = rows_[segment];
  UZ_CHECK_EQ(row.state.load(std::memory_order_relaxed), State::kFilling);
  live_bytes_.Sub(row.live.exchange(0, std::memory_order_relaxed));
  in_use_.Sub();
  MutexLock lock(mutex_);
  row.state.store(bad ? State::kBad : State::kFree, std::memory_order_release);
  if (bad) return;
  --allocated_;
  row.next = free_;
  free_ = segment;
}

void SegmentTable::AddLive(uint32_t segment, uint32_t bytes) {
  rows_[segment].live.fetch_add(bytes, std::memory_order_relaxed);
  live_bytes_.Add(bytes);
}

void SegmentTable::Release(uint32_t segment, uint32_t bytes) {
  const uint32_t before = rows_[segment].live.fetch_sub(bytes, std::memory_order_acq_rel);
  UZ_CHECK_GE(before, bytes);
  if (segment < first_) {
    inherited_live_bytes_.Sub(bytes);
    return;
  }
  live_bytes_.Sub(bytes);
  if (before == bytes) ReleaseIfEmpty(segment);
}

void SegmentTable::ReleaseIfEmpty(uint32_t segment) {
  Row& row = rows_[segment];
  MutexLock lock(mutex_);
  // The last releaser and the sealer both come here; the second of them finds both conditions true.
  // The segment may have been used again meanwhile. That is safe: states change under this
  // lock, and the live bytes of a sealed segment only fall.
  if (row.state.load(std::memory_order_relaxed) != State::kSealed) return;
  if (row.live.load(std::memory_order_acquire) != 0) return;
  in_use_.Sub();
  if (holds_ > 0 && row.sealed_at < epoch_) {
    row.state.store(State::kHeld, std::memory_order_release);
    row.next = held_;
    held_ = segment;
    return;
  }
  row.state.store(State::kEmptied, std::memory_order_release);
  row.next = emptied_;
  emptied_ = segment;
  ++emptied_count_;
}

void SegmentTable::Hold() {
  MutexLock lock(mutex_);
  ++holds_;
  ++epoch_;
}

void SegmentTable::Unhold() {
  MutexLock lock(mutex_);
  UZ_CHECK_GT(holds_, 0u);
  if (--holds_ > 0) return;
  while (held_ != kNone) {
    const uint32_t segment = held_;
    held_ = rows_[segment].next;
    rows_[segment].state.store(State::kEmptied, std::memory_order_release);
    rows_[segment].next = emptied_;
    emptied_ = segment;
    ++emptied_count_;
  }
}

uint32_t SegmentTable::Trim(uint32_t keep) {
  MutexLock lock(mutex_);
  if (emptied_count_ <= keep) return kNone;
  const uint32_t segment = emptied_;
  Row& row = rows_[segment];
  emptied_ = row.next;
  --emptied_count_;
  held_bytes_.Sub(row.used);
  row.state.store(State::kFree, std::memory_order_release);
  --allocated_;
  row.next = free_;
  free_ = segment;
  return segment;
}

uint32_t SegmentTable::PickSparse(uint32_t permille, uint64_t oldest_batch, uint32_t whole) const {
  uint32_t best = kNone;
  uint64_t best_share = permille;
  const uint64_t held_before = HeldBefore();
  for (uint32_t segment = first_; segment < grown_; ++segment) {
    const Row& row = rows_[segment];
    if (row.state.load(std::memory_order_relaxed) != State::kSealed || row.used == 0) continue;
    if (row.cleaning_since != 0 && row.cleaning_since >= oldest_batch) continue;
    if (row.sealed_at < held_before) continue;
    const uint64_t share =
        row.live.load(std::memory_order_relaxed) * uint64_t{1000} / (whole != 0 ? whole : row.used);
    if (share >= best_share) continue;
    best = segment;
    best_share = share;
  }
  return best;
}

uint64_t SegmentTable::HeldBefore() const {
  MutexLock lock(mutex_);
  return holds_ > 0 ? epoch_ : 0;
}

void SegmentTable::MarkCleaning(uint32_t segment, uint64_t batch) {
  rows_[segment].cleaning_since = batch;
}

void SegmentTable::Audit() {
  uint64_t inherited = 0;
  for (uint32_t segment = 0; segment < first_; ++segment) inherited += LiveOf(segment);
  UZ_CHECK_EQ(inherited, inherited_live_bytes_.Get());
  uint64_t live = 0;
  uint64_t held = 0;
  uint32_t emptied = 0;
  for (uint32_t segment = first_; segment < grown_; ++segment) {
    const Row& row = rows_[segment];
    const State state = row.state.load(std::memory_order_relaxed);
    live += row.live.load(std::memory_order_relaxed);
    if (state == State::kSealed || state == State::kEmptied || state == State::kHeld) {
      held += row.used;
    }
    if (state == State::kEmptied) ++emptied;
    if (state != State::kSealed && state != State::kFilling) {
      UZ_CHECK_EQ(row.live.load(std::memory_order_relaxed), 0u);
    }
  }
  UZ_CHECK_EQ(live, live_bytes_.Get());
  UZ_CHECK_EQ(held, held_bytes_.Get());
  MutexLock lock(mutex_);
  UZ_CHECK_EQ(emptied, emptied_count_);
}

}  // namespace uzswap
