// DictionaryLearner: decides when a dictionary is trained, and whether it is used.
//
//   pages stored:   0 ─────── collect from ─────── train at ─────── and again, 4 times as far
//                              [ reservoir of samples fills ]
//
//   Learn:  samples ──TrainerPort──> content ──Prepare──> measured beside the current dictionary
//                                                         and beside none, on samples it has not
//                                                         seen
//             the new one is best, and pays for its memory ──> Commit   kInstalled
//             else                                         ──> Abandon  kNoGain
//             and the current one is not worth it any more ──> Retire   kRetired
//
// A dictionary pays if what it saves on the pages stored now is more than kPayOff times its memory.
// It replaces another one if objects become at least 3 % smaller: every change leaves objects
// behind that hold the old one.
//
// Contents drift: so it is trained again when four times as many pages have been stored, and from
// some number on at equal distances, which are larger where nothing was gained. A trainer that is
// busy is asked again after twice as many, one that fails at most kFailuresMax times in a row.
//
// Threads. Tick: the reclaim daemon, cheap; it says when Learn is due. Learn: the learner's own
// thread, because it waits for the trainer and digests. Pause and Resume: while a program forks, so
// that the child inherits whole dictionaries. Nothing allocates after Init.
//
// Size: thirteen members: five parts, the two buffers, the schedule.
#ifndef UZSWAP_LEARN_DICTIONARY_LEARNER_H_
#define UZSWAP_LEARN_DICTIONARY_LEARNER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/counter.h"
#include "base/mutex.h"
#include "base/result.h"
#include "codec/codec.h"
#include "codec/dictionary_set.h"
#include "learn/sample_reservoir.h"
#include "learn/trainer_port.h"
#include "os/mapping.h"

namespace uzswap {

enum class [[nodiscard]] LearnOutcome : uint8_t{
    kInstalled,
    kNoGain,       // the current dictionary, or none, is as good
    kRetired,      // as kNoGain, and the current one was given up
    kFailed,       // the trainer failed, or gave something that is not a dictionary
    kNoSlot,       // old dictionaries are still needed by many objects
    kPostponed,    // the trainer is busy
    kUnavailable,  // there is no trainer: nothing more is learned
};

class DictionaryLearner {
 public:
  static constexpr uint64_t kFirstPages = 1024;
  static constexpr uint64_t kPagesMax = 65536;  // stored between two trainings, at most
  static constexpr uint64_t kSteadyPagesMax = uint64_t{1} << 20;  // if the last one gained nothing
  static constexpr uint64_t kPayOff = 2;
  static constexpr uint32_t kFailuresMax = 3;

  // All must outlive the learner. The reservoir is initialised by Init.
  struct Parts {
    DictionarySet* dictionaries = nullptr;
    SampleReservoir* samples = nullptr;
    TrainerPort* trainer = nullptr;
    const Codec* codec = nullptr;  // of stores
  };
  // Once. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts, uint64_t seed);

  // `stored`: pages compressed since the start; `held`: pages that are stored now. True if Learn is
  // due. Between that and Learn it collects nothing.
  bool Tick(uint64_t stored, uint64_t held);
  // Requires: Tick said so.
  LearnOutcome Learn();

  // Empties dictionaries that nothing needs any more. The learner's thread.
  void Collect() UZ_EXCLUDES(mutex_);

  void Pause() UZ_ACQUIRE(mutex_) { mutex_.Lock(); }
  void Resume() UZ_RELEASE(mutex_) { mutex_.Unlock(); }
  // In a forked child, before any engine thread. It begins again with what the parent has learned.
  void ResetInChild();

  // --- Figures ---
  [[nodiscard]] uint64_t trainings() const { return trainings_.Get(); }

 private:
  enum class Phase : uint8_t { kWaiting, kCollecting, kDue, kOff };

  LearnOutcome Judge(DictionarySlot slot) UZ_REQUIRES(mutex_);
  LearnOutcome Try(std::span<const std::byte> content) UZ_REQUIRES(mutex_);
  // Bytes of the measuring samples as objects. A page that does not fit counts as a page.
  uint64_t Measure(const Dictionary* dictionary);
  void Schedule(LearnOutcome outcome);

  Parts parts_;
  CodecContext context_;
  os::Mapping buffers_;  // the dictionary as the trainer gave it, and one object
  // Held while dictionaries change. Not while the trainer works.
  Mutex mutex_{LockRank::kLearner};
  // Of the schedule: Tick changes kWaiting and kCollecting, Learn changes kDue. Release and
  // acquire.
  std::atomic<Phase> phase_{Phase::kWaiting};
  uint64_t stored_ = 0;
  uint64_t held_ = 0;
  uint64_t due_at_ = kFirstPages;
  uint64_t distance_ = kFirstPages;
  uint32_t failures_in_a_row_ = 0;
  RelaxedCounter trainings_;
};

}  // namespace uzswap

#endif  // UZSWAP_LEARN_DICTIONARY_LEARNER_H_
