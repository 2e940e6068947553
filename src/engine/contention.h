// Contention: do more tasks want a processor than the machine has, and do others run among them?
//
//   runnable tasks, sampled by the daemon ──> mean of about 8 samples ──────┐
//   processor time that was idle or that the tree has used, for 64 ms ──────┴──> session: the tree
//
//       idle ──mean >= processors + 1.75, and others had half a processor──> contended for a second
//       contended ──mean >= processors + 1, and others had half a processor──> for another second
//
// The program, the pager, the daemon and the writer of one process are three runnable tasks on
// average, on two processors, so they alone are no contention. An endless loop on each processor
// is. Then the kernel's scheduler lets threads of the engine wait for a long time, however nice
// they are (docs/decisions/0034). Priority that keeps them from waiting costs the program its
// processor, which is a loss while another one is idle: so it has to be known which it is.
//
// A program with many threads, or a tree of processes, has more runnable tasks than processors by
// itself. The daemon also samples just when the tree has much to do. So the tasks of others must
// have run too: processor time that was neither idle nor used by the tree. What is not known is no
// contention.
//
// Plain arithmetic; one thread.
#ifndef UZSWAP_ENGINE_CONTENTION_H_
#define UZSWAP_ENGINE_CONTENTION_H_

#include <algorithm>
#include <cstdint>
#include <optional>

namespace uzswap {

class Contention {
 public:
  static constexpr uint64_t kSampleNs = 2'000'000;   // the least time between two samples
  static constexpr uint64_t kWindowNs = 64'000'000;  // for which processor time is compared
  static constexpr uint64_t kHoldNs = 1'000'000'000;

  // What one sample has seen. `runnable` counts the caller.
  struct Sample {
    uint32_t runnable = 0;
    uint32_t processors = 0;
    uint64_t now_ns = 0;
  };

  // Is one sample as high as a mean must be?
  static constexpr bool IsHigh(uint32_t runnable, uint32_t processors) {
    return runnable * kScale >= processors * kScale + kEnterAbove;
  }
  [[nodiscard]] bool SampleDue(uint64_t now_ns) const {
    return sampled_ns_ == 0 || now_ns - sampled_ns_ >= kSampleNs;
  }
  // `idle_or_ours` returns the processor time so far that others did not have, in nanoseconds, or
  // nothing if it is not known. It is called only where the number of tasks is high, because that
  // time costs more to know, with each thread and process. Returns contended().
  template <typename IdleOrOurs>
  bool NoteSample(const Sample& sample, IdleOrOurs&& idle_or_ours) {
    UpdateMean(sample);
    if (mean_ < ManyTasks(sample)) {
      window_.reset();
    } else if (!window_ || sample.now_ns - window_->began_ns >= kWindowNs) {
      const std::optional<uint64_t> time_ns = idle_or_ours();
      const bool enough = contended_ || mean_ >= EnterMean(sample);
      if (enough && OthersRan(sample, time_ns)) until_ns_ = sample.now_ns + kHoldNs;
      window_.reset();
      if (time_ns) window_ = Window{sample.now_ns, *time_ns};
    }
    contended_ = sample.now_ns < until_ns_;
    return contended_;
  }
  [[nodiscard]] bool contended() const { return contended_; }

 private:
  static constexpr uint64_t kWeight = 8;
  static constexpr uint64_t kScale = 256;
  static constexpr uint64_t kEnterAbove = kScale * 7 / 4;

  // Since when processor time is compared, and what it was then.
  struct Window {
    uint64_t began_ns = 0;
    uint64_t time_ns = 0;
  };

  static constexpr uint64_t EnterMean(const Sample& sample) {
    return sample.processors * kScale + kEnterAbove;
  }
  static constexpr uint64_t ManyTasks(const Sample& sample) {
    return (uint64_t{sample.processors} + 1) * kScale;
  }
  // A late sample stands for all the samples that were missed, up to half of the mean.
  void UpdateMean(const Sample& sample) {
    const uint64_t missed = sampled_ns_ == 0 ? kWeight : (sample.now_ns - sampled_ns_) / kSampleNs;
    const uint64_t share = std::clamp<uint64_t>(missed, 1, kWeight / 2);
    sampled_ns_ = sample.now_ns;
    mean_ = (mean_ * (kWeight - share) + sample.runnable * kScale * share) / kWeight;
  }
  // Half a processor, since the window began. Time that has decreased tells nothing.
  [[nodiscard]] bool OthersRan(const Sample& sample, std::optional<uint64_t> time_ns) const {
    if (!window_ || !time_ns || *time_ns < window_->time_ns) return false;
    const uint64_t elapsed_ns = sample.now_ns - window_->began_ns;
    return *time_ns - window_->time_ns + elapsed_ns / 2 <= elapsed_ns * sample.processors;
  }

  uint64_t mean_ = 0;  // of runnable tasks, times kScale
  uint64_t sampled_ns_ = 0;
  std::optional<Window> window_;
  uint64_t until_ns_ = 0;  // contended until then
  bool contended_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_CONTENTION_H_
