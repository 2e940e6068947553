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
    const Step step = CleanFurther();
    if (step == Step::kDone) break;
    // A port that writes only when it is waited for needs many steps for one segment.
    if (step == Step::kSegment) --segments;
  }
  store_->Drain();
  while (!called() && store_->TrimOne(0)) {
  }
  if (!called()) cleaned_live_bytes_ = store_->segments().live_bytes();
}

StoreCleaner::Step StoreCleaner::CleanFurther() {
  switch (store_->Clean(kLiveWhenIdlePermille)) {
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
