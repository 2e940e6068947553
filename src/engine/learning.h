// Learning: the dictionaries of one managed process: what it starts with, and what it learns.
//
//   stores ──> SampleReservoir       reclaim daemon ──Tick──> is a training due?
//                    │                                             │ wakes
//                    v                                             v
//              learner's thread: DictionaryLearner::Learn ──> LiveTrainer ──> broker
//
//   [ off ]  --dictionary off, or a limit so small that samples would cost more than they give: a
//            dictionary of the session's is used, nothing is learned
//   [ on ]   one thread, which sleeps nearly always
//
// Init and Start: the reclaim daemon, when the process becomes managed; Start again in a forked
// child. Tick and Publish: the reclaim daemon. Pause, Resume: around a fork, the daemon.
// ResetInChild: the child's only thread. If the thread cannot be started nothing is learned.
#ifndef UZSWAP_ENGINE_LEARNING_H_
#define UZSWAP_ENGINE_LEARNING_H_

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "cache/compressed_cache.h"
#include "engine/live_trainer.h"
#include "learn/dictionary_learner.h"
#include "learn/sample_reservoir.h"

namespace uzswap {

class Learning {
 public:
  // With less the samples, the dictionary and the training would be more than a sixth of the limit.
  static constexpr Bytes kLimitMin{uint64_t{24} << 20};

  struct Parts {
    SessionMember* member = nullptr;
    CompressedCache* cache = nullptr;
    DictionarySet* dictionaries = nullptr;
    LiveTrainer::Parts trainer;
  };
  // Installs the session's dictionary. `codec` is the one of stores. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts, const Codec& codec);
  // Requires: Init.
  void Start();

  [[nodiscard]] bool on() const { return on_; }
  // Looks whether a training is due.
  void Tick(const CacheCounters& cache);
  // Into the statistics of the process.
  void Publish();

  void Pause() UZ_NO_THREAD_SAFETY_ANALYSIS {
    if (on_) learner_.Pause();
  }
  void Resume() UZ_NO_THREAD_SAFETY_ANALYSIS {
    if (on_) learner_.Resume();
  }
  void ResetInChild();

 private:
  static void ThreadMain(void* self);
  void LearnOnce();
  void Wake(uint32_t why);

  Parts parts_;
  SampleReservoir samples_;
  LiveTrainer trainer_;
  DictionaryLearner learner_;
  bool on_ = false;
  // What the thread has to do: bits. A futex; release and acquire.
  static constexpr uint32_t kLearn = 1;
  static constexpr uint32_t kCollect = 2;
  std::atomic<uint32_t> due_{0};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_LEARNING_H_
