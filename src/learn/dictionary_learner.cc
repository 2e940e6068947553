#include "learn/dictionary_learner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace uzswap {
namespace {

// A new dictionary is better if its objects take less than this share of what they take now.
constexpr uint64_t kBetterPercent = 97;

bool IsBetter(uint64_t bytes, uint64_t than) { return bytes * 100 < than * kBetterPercent; }

}  // namespace

Result<void> DictionaryLearner::Init(const Parts& parts, uint64_t seed) {
  parts_ = parts;
  if (Result<void> done = parts_.samples->Init(seed); !done.ok()) return done;
  if (Result<void> done = context_.Init(*parts_.codec); !done.ok()) return done;
  Result<os::Mapping> buffers =
      os::Mapping::Create(Bytes(kDictionaryBytesDefault + kPageSize), "mmap for a dictionary");
  if (!buffers.ok()) return buffers.error();
  buffers_ = std::move(buffers).value();
  return {};
}

bool DictionaryLearner::Tick(uint64_t stored, uint64_t held) {
  switch (phase_.load(std::memory_order_acquire)) {
    case Phase::kOff:
    case Phase::kDue:
      return false;
    case Phase::kWaiting:
      // Samples take memory: they are taken from the last quarter of the way only.
      if (stored < due_at_ - distance_ / 4) return false;
      parts_.samples->Begin();
      phase_.store(Phase::kCollecting, std::memory_order_release);
      return false;
    case Phase::kCollecting:
      if (stored < due_at_ || !parts_.samples->full()) return false;
      parts_.samples->End();
      stored_ = stored;
      held_ = held;
      phase_.store(Phase::kDue, std::memory_order_release);
      return true;
  }
  return false;
}

LearnOutcome DictionaryLearner::Learn() {
  UZ_CHECK(phase_.load(std::memory_order_acquire) == Phase::kDue);
  const std::span<std::byte> to(buffers_.data(), kDictionaryBytesDefault);
  trainings_.Add();
  const TrainResult trained = parts_.trainer->Train(parts_.samples->training(), to);
  LearnOutcome outcome = LearnOutcome::kFailed;
  {
    MutexLock lock(mutex_);
    switch (trained.outcome) {
      case TrainOutcome::kTrained:
        if (trained.bytes <= to.size()) outcome = Try(to.first(trained.bytes));
        break;
      case TrainOutcome::kFailed:
        break;
      case TrainOutcome::kBusy:
        outcome = LearnOutcome::kPostponed;
        break;
      case TrainOutcome::kUnavailable:
        outcome = LearnOutcome::kUnavailable;
        break;
    }
    static_cast<void>(parts_.dictionaries->Collect());
    parts_.samples->Clear();
    buffers_.Discard(0, buffers_.size());
    Schedule(outcome);
  }
  return outcome;
}

void DictionaryLearner::Collect() {
  MutexLock lock(mutex_);
  static_cast<void>(parts_.dictionaries->Collect());
}

LearnOutcome DictionaryLearner::Try(std::span<const std::byte> content) {
  DictionarySlot slot = kNoDictionary;
  switch (parts_.dictionaries->Prepare(content, &slot)) {
    case InstallOutcome::kInstalled:
      return Judge(slot);
    case InstallOutcome::kAlreadyCurrent:
      return LearnOutcome::kNoGain;
    case InstallOutcome::kNoSlot:
      return LearnOutcome::kNoSlot;
    case InstallOutcome::kNotADictionary:
    case InstallOutcome::kNoMemory:
      break;
  }
  return LearnOutcome::kFailed;
}

LearnOutcome DictionaryLearner::Judge(DictionarySlot slot) {
  DictionarySet& set = *parts_.dictionaries;
  const uint64_t fresh = Measure(&set.OwnersView(slot));
  const uint64_t plain = Measure(nullptr);
  const DictionarySlot current = set.current();
  const uint64_t now = current == kNoDictionary ? plain : Measure(&set.OwnersView(current));
  const uint64_t saved = plain > fresh ? plain - fresh : 0;
  const uint64_t memory = set.MemoryOfSlot().raw();
  const bool pays = saved * held_ / SampleReservoir::kMeasuringPages > kPayOff * memory;
  if (pays && IsBetter(fresh, std::min(now, plain))) {
    set.Commit(slot);
    return LearnOutcome::kInstalled;
  }
  set.Abandon(slot);
  if (current == kNoDictionary || IsBetter(now, plain)) return LearnOutcome::kNoGain;
  set.Retire();
  return LearnOutcome::kRetired;
}

uint64_t DictionaryLearner::Measure(const Dictionary* dictionary) {
  const std::span<const std::byte> pages = parts_.samples->measuring();
  const std::span<std::byte> object(buffers_.data() + kDictionaryBytesDefault, kPageSize);
  uint64_t bytes = 0;
  for (size_t at = 0; at < pages.size(); at += kPageSize) {
    const CompressOutcome made =
        context_.Compress(pages.subspan(at, kPageSize), object, dictionary);
    bytes += made.kind == CompressKind::kCompressed ? made.size : kPageSize;
  }
  return bytes;
}

void DictionaryLearner::Schedule(LearnOutcome outcome) {
  const bool failed = outcome == LearnOutcome::kFailed;
  const bool postponed = outcome == LearnOutcome::kPostponed;
  if (!postponed) failures_in_a_row_ = failed ? failures_in_a_row_ + 1 : 0;
  const bool steady = outcome == LearnOutcome::kNoGain;
  distance_ = std::min(distance_ * (postponed ? 2 : 4), steady ? kSteadyPagesMax : kPagesMax);
  due_at_ = stored_ + distance_;
  const bool off = outcome == LearnOutcome::kUnavailable || failures_in_a_row_ >= kFailuresMax;
  phase_.store(off ? Phase::kOff : Phase::kWaiting, std::memory_order_release);
}

// What was collected is gone. A training that was under way is the parent's.
void DictionaryLearner::ResetInChild() {
  mutex_.ResetAfterFork();
  parts_.samples->ResetInChild();
  parts_.trainer->ForgetInChild();
  if (phase_.load(std::memory_order_relaxed) != Phase::kOff) {
    phase_.store(Phase::kWaiting, std::memory_order_relaxed);
  }
}

}  // namespace uzswap
