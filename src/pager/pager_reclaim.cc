// Reclaim: which pages go, how they leave, and how their frames become free.
#include "pager/pager.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

namespace {

// So many refusals in a row, and reclaim by faults stops trying: the data do not compress.
constexpr size_t kPoorStreakMax = 256;

// Pages that a fault compresses when it has to.
constexpr size_t kDirectBatch = 8;

// Each refusal costs a system call.
constexpr size_t kRefusalsMax = 64;

}  // namespace

size_t Pager::Take(size_t want) {
  MutexLock lock(mutex_);
  return TakeLocked(want);
}

// The clock: passes over the program's pages. A page with heat is left alone and cools by one;
// a cold one is taken, together with cold neighbours, because one MOVE of a run costs little
// more than of a page. After kHandTakes pages the hand jumps to a random place: a hand that
// went on in the order of addresses would run ahead of a program that walks through more
// memory than it has, at the same speed, and take just what is needed next
// (docs/decisions/0002-random-hand.md).
size_t Pager::TakeLocked(size_t want) {
  size_t taken = 0;
  size_t looked = 0;
  size_t refused = 0;
  bool stop = forking_;
  sweep_failed_ = false;
  // As often round as the hottest page needs to be cold.
  const size_t words = (regions_.bytes().raw() >> kPageShift) * (PageEntry::kHeatMax + 1);
  const size_t most = words < kSweepWords ? words : kSweepWords;
  while (taken < want && looked < most && refused < kRefusalsMax && !stop && regions_.count() > 0) {
    size_t index = regions_.IndexFrom(hand_);
    if (hand_left_ == 0 || index == regions_.count()) {
      JumpHand();
      index = regions_.IndexFrom(hand_);
    }
    const Region& region = regions_.at(index);
    if (hand_ < region.start) hand_ = region.start;
    const PageIndex number = region.NumberOf(hand_);
    if (!IsVictim(number)) {
      PageEntry& word = regions_.word(number);
      if (word.heat() > 0) word.SetHeat(static_cast<uint8_t>(word.heat() - 1));
      hand_ += kPageSize;
      ++looked;
      continue;
    }
    const size_t run = TakeRun(region, want - taken, &stop);
    taken += run;
    refused += run == 0 ? 1 : 0;
    hand_left_ -= run < hand_left_ ? run : hand_left_;
    ++looked;
  }
  // Faults stop trying; the keeper tries again at its next look.
  if (taken == 0 && (looked >= most || refused >= kRefusalsMax)) sweep_failed_ = true;
  return taken;
}

// A page that was just supplied stays until its thread had a chance to run: a program that has
// few pages left, or few that can be moved, would otherwise never get on.
bool Pager::IsVictim(PageIndex number) {
  const PageEntry& word = regions_.word(number);
  if (word.state() != PageState::kResident || word.pinned() || word.heat() > 0) return false;
  for (const PageIndex recent : recent_) {
    if (recent == number) return false;
  }
  return true;
}

// To a page of any region, each with the same chance.
void Pager::JumpHand() {
  hand_left_ = kHandTakes;
  uint64_t offset = rng_.Below(regions_.bytes().raw() >> kPageShift) << kPageShift;
  for (size_t i = 0; i < regions_.count(); ++i) {
    const Region& region = regions_.at(i);
    if (offset < region.end - region.start) {
      hand_ = region.start + offset;
      return;
    }
    offset -= region.end - region.start;
  }
}

// Cold pages that stand together from the hand on.
size_t Pager::VictimRun(const Region& region, size_t want) {
  const PageIndex first = region.NumberOf(hand_);
  const uint64_t left = (region.end - hand_) >> kPageShift;
  size_t count = 1;
  while (count < want && count < kTakeBatch && count < left) {
    if (!IsVictim(first + static_cast<PageIndex>(count))) break;
    ++count;
  }
  return count;
}

size_t Pager::TakeRun(const Region& region, size_t want, bool* stop) {
  const StagingFrames::Run run = frames_.FindEmpty(VictimRun(region, want));
  if (run.count == 0) {
    *stop = true;  // the swap cache is full: compress first
    return 0;
  }
  const PageIndex first = region.NumberOf(hand_);
  PortResult result;
  size_t pages = run.count;
  do {
    result = MoveIntoFrames(hand_, run.first, pages);
    pages /= 2;
    // The border of two mappings may lie in the run: no call reaches across.
  } while (result.outcome == PortOutcome::kRefused && pages > 0);
  const size_t done = result.done_bytes >> kPageShift;
  for (size_t i = 0; i < done; ++i) {
    const auto number = first + static_cast<PageIndex>(i);
    const FrameId frame(run.first.raw() + static_cast<uint32_t>(i));
    frames_.NoteCached(frame, number);
    regions_.word(number).Transition(PageState::kStaged, frame.raw());
  }
  resident_ -= done;
  hand_ += done << kPageShift;
  parts_.statistics->pages_taken.Add(done);
  // A run that ended early does not say why: the next round asks for the page it stopped at.
  if (done > 0 || result.outcome == PortOutcome::kDone) return done;

  PageEntry& refused = regions_.word(first);
  switch (result.outcome) {
    case PortOutcome::kRetry:
    case PortOutcome::kNoMemory:
      parts_.statistics->retries.Add();
      *stop = true;
      return 0;
    case PortOutcome::kGone:
      refused.Transition(PageState::kUntracked);
      --resident_;
      break;
    case PortOutcome::kBusy:
      parts_.statistics->busy_pages.Add();
      refused.SetHeat(PageEntry::kHeatMax);
      if (busy_count_ < kBusyMax) busy_[busy_count_++] = hand_;
      break;
    case PortOutcome::kRefused:
      parts_.statistics->refused_pages.Add();
      refused.SetHeat(PageEntry::kHeatMax);
      break;
    case PortOutcome::kExists:
    case PortOutcome::kDone:
      PanicOperands(__FILE__, __LINE__, "an empty frame of the swap cache was not empty",
                    run.first.raw(), 0);
  }
  hand_ += kPageSize;
  return 0;
}

size_t Pager::BeginCompress(FrameId* frames, size_t max) {
  size_t count = 0;
  while (count < max && !forking_) {
    const FrameId frame = frames_.TakeOldest();
    if (!frame.valid()) break;
    regions_.word(frames_.owner(frame)).Transition(PageState::kInFlight, frame.raw());
    frames[count++] = frame;
  }
  compressing_ += count;
  return count;
}

size_t Pager::CompressOldest(CacheContext& context, size_t max) {
  CompressBatch batch;
  BeginBatch(max, &batch);
  StoreBatch(context, &batch);
  return FinishBatch(batch);
}

void Pager::BeginBatch(size_t max, CompressBatch* batch) {
  MutexLock lock(mutex_);
  batch->count = BeginCompress(batch->frames, max < kCompressBatch ? max : kCompressBatch);
  for (size_t i = 0; i < batch->count; ++i) {
    batch->pages[i] = frames_.data(batch->frames[i]);
  }
}

void Pager::StoreBatch(CacheContext& context, CompressBatch* batch) {
  for (size_t i = 0; i < batch->count; ++i) {
    batch->outcomes[i] = parts_.store->Store(context, ConstPageBytes(batch->pages[i], kPageSize));
  }
}

size_t Pager::FinishBatch(const CompressBatch& batch) {
  MutexLock lock(mutex_);
  size_t freed = 0;
  for (size_t i = 0; i < batch.count; ++i) {
    freed += FinishCompress(batch.frames[i], batch.outcomes[i]) ? 1 : 0;
  }
  compressing_ -= batch.count;
  ChargePool();
  return freed;
}

// What the pool took from the kernel since the last time is room no more.
void Pager::ChargePool() {
  const auto pages = static_cast<int64_t>(PagesWithin(parts_.store->PoolBytes()).raw());
  parts_.headroom->Take(pages - pool_pages_);
  pool_pages_ = pages;
}

// Back under the lock: is the frame still the page's? Returns whether the frame is spent now.
bool Pager::FinishCompress(FrameId frame, const StoredPage& outcome) {
  Statistics& statistics = *parts_.statistics;
  const PageIndex owner = frames_.owner(frame);
  if (owner == kNoOwner) {
    // Touched or discarded meanwhile: it was copied out, or nobody wants it.
    if (outcome.as == StoredAs::kSlot) parts_.store->Free(context_, outcome.slot);
    statistics.lost_races.Add();
    frames_.NoteDone(frame);
    return true;
  }
  PageEntry& word = regions_.word(owner);
  UZ_CHECK_EQ(word.frame(), frame);
  switch (outcome.as) {
    case StoredAs::kSlot:
      word.Transition(PageState::kCompressed, outcome.slot);
      break;
    case StoredAs::kSameFilled:
      word.Transition(PageState::kSameFilled, outcome.pattern);
      statistics.same_filled_pages.Add();
      break;
    case StoredAs::kIncompressible:
      ++poor_streak_;
      statistics.reject_compress_poor.Add();
      word.Transition(PageState::kStaged, frame.raw());
      frames_.NoteReturned(frame);
      GiveBackPoor(frame);
      return false;
    case StoredAs::kNoSpace:
      statistics.reject_alloc_fail.Add();
      statistics.pool_limit_hit.Add();
      word.Transition(PageState::kStaged, frame.raw());
      frames_.NoteReturned(frame);
      return false;
  }
  poor_streak_ = 0;
  word.ForgetMerit();
  statistics.zswpout.Add();
  statistics.stored_pages.Add();
  frames_.NoteDone(frame);
  return true;
}

// A page that does not compress costs less where it is than in a frame. It is left alone for
// as long as the hottest page.
void Pager::GiveBackPoor(FrameId frame) {
  const PageIndex owner = frames_.owner(frame);
  const Region* region = regions_.FindByNumber(owner);
  UZ_CHECK(region != nullptr);
  const PortResult result = MoveFromFrames(*parts_.port, region->AddressOf(owner), frame, 1);
  // Any refusal leaves it in the swap cache, where a touch finds it.
  if (result.outcome != PortOutcome::kDone) return;
  frames_.NoteMovedBack(frame);
  PageEntry& word = regions_.word(owner);
  word.Transition(PageState::kResident);
  word.SetHeat(PageEntry::kHeatMax);
  ++resident_;
}

// Far beyond the room there is: the fault has to wait until something is compressed. Bounded:
// one batch.
void Pager::DirectReclaim() {
  if (poor_streak_ > kPoorStreakMax) return;
  parts_.statistics->direct_reclaims.Add();
  if (frames_.cached_count() == 0 && !sweep_failed_) TakeLocked(kTakeBatch);
  for (size_t i = 0; i < kDirectBatch; ++i) {
    FrameId frame;
    if (BeginCompress(&frame, 1) == 0) break;
    const StoredPage outcome =
        parts_.store->Store(context_, ConstPageBytes(frames_.data(frame), kPageSize));
    FinishCompress(frame, outcome);
    --compressing_;
  }
  ChargePool();
  DrainLocked(kDrainPages);
}

size_t Pager::BusyPages(uint64_t* addresses, size_t capacity) {
  MutexLock lock(mutex_);
  const size_t count = busy_count_ < capacity ? busy_count_ : capacity;
  for (size_t i = 0; i < count; ++i) addresses[i] = busy_[i];
  busy_count_ = 0;
  return count;
}

void Pager::CoolDown(const uint64_t* addresses, size_t count) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < count; ++i) {
    const Region* region = regions_.Find(addresses[i]);
    if (region != nullptr) regions_.word(region->NumberOf(addresses[i])).SetHeat(0);
  }
}

size_t Pager::Drain(size_t max) {
  MutexLock lock(mutex_);
  return DrainLocked(max);
}

size_t Pager::DrainLocked(size_t max) {
  size_t drained = 0;
  const auto drain_address = reinterpret_cast<uint64_t>(drain_.data());
  // Twice as many tries as pages: each may first have to be made our own.
  for (size_t tries = 2 * max; tries > 0 && drained < max && !forking_; --tries) {
    const size_t want = max - drained < kDrainPages ? max - drained : kDrainPages;
    const StagingFrames::Run run = frames_.FindSpent(want);
    if (run.count == 0) break;
    const PortResult result =
        MoveFromFrames(*parts_.drain_port, drain_address, run.first, run.count);
    const size_t done = result.done_bytes >> kPageShift;
    for (size_t i = 0; i < done; ++i) {
      frames_.NoteDrained(FrameId(run.first.raw() + static_cast<uint32_t>(i)));
    }
    drained += done;
    if (done > 0) {
      drain_.Discard(0, done << kPageShift);
    } else if (result.outcome == PortOutcome::kBusy) {
      // Shared with a forked child: writing to it makes it our own.
      *frames_.data(run.first) = std::byte{0};
    } else {
      parts_.statistics->retries.Add();
      break;
    }
  }
  parts_.headroom->Give(static_cast<int64_t>(drained));
  return drained;
}

}  // namespace uzswap
