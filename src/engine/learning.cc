#include "engine/learning.h"

#include "os/thread.h"

namespace uzswap {

Result<void> Learning::Init(const Parts& parts, const Codec& codec) {
  parts_ = parts;
  if (!parts.dictionaries->ready()) return {};
  const std::span<const std::byte> known = parts.member->session().dictionary();
  if (!known.empty()) {
    const bool installed = parts.dictionaries->Install(known) == InstallOutcome::kInstalled;
    RelaxedCounter& figure = installed ? parts.member->statistics().dictionaries
                                       : parts.member->statistics().trainings_failed;
    figure.Add();
  }
  if (parts.member->session().limit() < kLimitMin) return {};
  if (Result<void> done = trainer_.Init(parts.trainer); !done.ok()) return done;
  const Result<void> done = learner_.Init({.dictionaries = parts.dictionaries,
                                           .samples = &samples_,
                                           .trainer = &trainer_,
                                           .codec = &codec},
                                          os::MonotonicNanoseconds());
  if (!done.ok()) return done;
  parts.cache->SetObserver(samples_);
  on_ = true;
  return {};
}

void Learning::Start() {
  if (!on_) return;
  on_ = os::StartServiceThread(ThreadMain, this, os::ServiceHome::kCaller, "uzswap-learner").ok();
}

void Learning::ThreadMain(void* self) {
  auto* learning = static_cast<Learning*>(self);
  os::SetUrgency(os::Urgency::kOrdinary);
  constexpr uint64_t kForeverNs = 3'600'000'000'000;
  while (true) {
    const uint32_t due = learning->due_.exchange(0, std::memory_order_acquire);
    if (due == 0) os::FutexWait(&learning->due_, 0, kForeverNs);
    if ((due & kLearn) != 0) learning->LearnOnce();
    if ((due & kCollect) != 0) learning->learner_.Collect();
  }
}

void Learning::LearnOnce() {
  Statistics& counts = parts_.member->statistics();
  counts.trainings.Add();
  switch (learner_.Learn()) {
    case LearnOutcome::kInstalled:
      counts.dictionaries.Add();
      return;
    case LearnOutcome::kNoGain:
    case LearnOutcome::kRetired:
    case LearnOutcome::kNoSlot:
      return;
    case LearnOutcome::kPostponed:
      counts.trainings_postponed.Add();
      return;
    case LearnOutcome::kFailed:
    case LearnOutcome::kUnavailable:
      counts.trainings_failed.Add();
      return;
  }
}

void Learning::Tick(const CacheCounters& cache) {
  if (!on_) return;
  const uint64_t held = cache.entries_in.Get() - cache.entries_out.Get();
  if (!learner_.Tick(cache.stores.Get(), held)) return;
  Wake(kLearn);
}

void Learning::Wake(uint32_t why) {
  due_.fetch_or(why, std::memory_order_release);
  os::FutexWake(&due_, 1);
}

void Learning::Publish() {
  const DictionarySet& dictionaries = *parts_.dictionaries;
  if (!dictionaries.ready()) return;
  parts_.member->statistics().dictionary_pages.Set(dictionaries.References());
  parts_.member->statistics().dictionary_bytes.Set(dictionaries.MemoryInUse().raw());
  if (on_ && dictionaries.Collectable()) Wake(kCollect);
}

void Learning::ResetInChild() {
  due_.store(0, std::memory_order_relaxed);
  if (on_) learner_.ResetInChild();
}

}  // namespace uzswap
