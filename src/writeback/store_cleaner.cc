#include "writeback/store_cleaner.h"

#include <utility>

namespace uzswap {

void StoreCleaner::Init(BackingStore* store, uint32_t below_permille, uint32_t keep_empty) {
  store_ = store;
  below_permille_ = below_permille;
  keep_empty_ = keep_empty;
}

void StoreCleaner::CleanOnBatch() {
  if (store_ == nullptr || store_->latest_batch() == cleaned_at_batch_) return;
  cleaned_at_batch_ = store_->latest_batch();
  static_cast<void>(store_->Clean(below_permille_));
  store_->Trim(keep_empty_);
}

bool StoreCleaner::IsWorthwhile() {
  if (store_ == nullptr || store_->closed()) return false;
  const SegmentTable& segments = store_->segments();
  const uint64_t live = segments.live_bytes();
  const uint64_t slack = kSlackWhenIdleBytes + live / 1000 * (1000 - kLiveWhenIdlePermille);
  // While pages are loaded, a record that is rewritten now may be released a moment later.
  if (std::exchange(live_bytes_seen_, live) != live) return false;
  // Segments that could not be cleaned any further would be rewritten again and again.
  return segments.held_bytes() > live + slack && live != cleaned_live_bytes_;
}

void StoreCleaner::Clean(const PoolGate& gate, uint32_t calls_seen) {
  if (store_ == nullptr) return;
  const auto called = [&] { return gate.calls() != calls_seen; };
  // Each pass may leave one more segment that is partly filled. The bound ends the work even if
  // every pass does.
  uint32_t segments = 2 * store_->segments().in_use() + 1;
  while (segments > 0 && !called()) {
    const Step step = CleanFurther(kLiveWhenIdlePermille, BackingStore::CleanOf::kWritten);
    if (step == Step::kDone) break;
    // A port that writes only when it is waited for needs many steps for one segment.
    if (step == Step::kSegment) --segments;
  }
  store_->WaitForWrites();
  while (!called() && store_->TrimOne(0)) {
  }
  if (!called()) cleaned_live_bytes_ = store_->segments().live_bytes();
}

bool StoreCleaner::MakeRoom(const WriterControl& control) {
  if (store_->HasRoom()) return true;
  const uint64_t live = store_->segments().live_bytes();
  const uint64_t segment = store_->segment_size();
  // Not again what made no room, and not if all segments together have less to gain than one.
  const bool unchanged = store_->counters().bytes_written.Get() == full_at_written_ &&
                         live + segment / 4 > full_at_live_;
  if (unchanged || store_->wasted_bytes() < segment || !store_->writing_is_allowed()) return false;
  const uint32_t below =
      store_->writing_is_limited() ? kLiveWhenLimitedPermille : kLiveWhenFullPermille;
  // As in Clean: the bound ends the work whatever each pass leaves.
  uint32_t left = 2 * store_->segments().in_use() + 1;
  while (!store_->HasRoom() && !control.interrupted() && left-- > 0) {
    if (CleanFurther(below, BackingStore::CleanOf::kSpace) == Step::kDone) break;
  }
  // With room, the batch that was begun is filled up by stores.
  if (store_->HasRoom()) return true;
  store_->WaitForWrites();
  if (store_->HasRoom()) return true;
  if (control.interrupted() || !store_->writing_is_allowed()) return false;
  full_at_written_ = store_->counters().bytes_written.Get();
  full_at_live_ = store_->segments().live_bytes();
  return false;
}

StoreCleaner::Step StoreCleaner::CleanFurther(uint32_t below_permille, BackingStore::CleanOf of) {
  switch (store_->Clean(below_permille, of)) {
    case CleanOutcome::kCleaned:
      store_->Reap(false);
      return Step::kSegment;
    case CleanOutcome::kBlocked:
    case CleanOutcome::kNothing:
      // A segment whose records were copied in part is looked at again when the copies are written.
      return store_->Reap(true) > 0 ? Step::kBatch : Step::kDone;
    case CleanOutcome::kReadFailed:
      return Step::kSegment;
  }
  return Step::kDone;
}

}  // namespace uzswap
