// Contention: do more tasks want a processor than the machine has, and do others run among them?
//
//   runnable tasks, sampled by the daemon ──> mean of about 8 samples ─────┐
//   processor time that was idle, or that the tree has used, for 64 ms ────┴──> session: the tree
//
//       idle ──mean >= processors + 1.75, and others had half a processor──> contended
//            <──a second has passed since, and (mean < processors + 1, or others had less)──
//
// The program, the pager, the daemon and the writer of one process are three runnable tasks on
// average, on two processors, so they alone are no contention. An endless loop on each processor
// is. Then the kernel's scheduler lets threads of the engine wait for a long time, however nice
// they are (docs/decisions/0034). Priority that keeps them from waiting costs the program its
// processor, which is a loss while another one is idle: so it has to be known which it is.
//
// A program with many threads, or a tree of processes, has more runnable tasks than processors by
// itself. The daemon also samples just when the tree has much to do. So the tasks of others must
// have run too: processor time that was neither idle nor used by the tree.
//
// Plain arithmetic; one thread.
#ifndef UZSWAP_ENGINE_CONTENTION_H_
#define UZSWAP_ENGINE_CONTENTION_H_

#include <algorithm>
#include <cstdint>

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
  // `unshared` returns the processor time so far that others did not have, in nanoseconds: what was
  // idle, and what the tree has used. It is called only where the number of tasks is high, because
  // that time costs more to know, with each thread and process. If it has decreased, a process of
  // the tree has ended: then it tells nothing. Returns contended().
  template <typename Unshared>
  bool NoteSample(const Sample& sample, Unshared&& unshared) {
    UpdateMean(sample);
    if (contended_) {
      NoteWhileContended(sample, unshared);
    } else if (mean_ < ManyTasks(sample)) {
      window_ns_ = 0;
    } else if (window_ns_ == 0) {
      BeginWindow(sample, unshared());
    } else if (sample.now_ns - window_ns_ >= kWindowNs) {
      contended_ = mean_ >= EnterMean(sample) && OthersRan(sample, unshared());
    }
    return contended_;
  }
  [[nodiscard]] bool contended() const { return contended_; }

 private:
  static constexpr uint64_t kWeight = 8;
  static constexpr uint64_t kScale = 256;
  static constexpr uint64_t kEnterAbove = kScale * 7 / 4;
  static constexpr uint64_t kOthersShare = 2;  // of one processor

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
  void BeginWindow(const Sample& sample, uint64_t unshared_ns) {
    window_ns_ = sample.now_ns;
    window_unshared_ns_ = unshared_ns;
  }
  // Since the window began; the next one begins.
  bool OthersRan(const Sample& sample, uint64_t unshared_ns) {
    const uint64_t elapsed = sample.now_ns - window_ns_;
    const uint64_t before = window_unshared_ns_;
    BeginWindow(sample, unshared_ns);
    if (unshared_ns < before) return contended_;
    return unshared_ns - before + elapsed / kOthersShare <= elapsed * sample.processors;
  }
  template <typename Unshared>
  void NoteWhileContended(const Sample& sample, Unshared& unshared) {
    if (sample.now_ns - window_ns_ < kHoldNs) return;
    contended_ = mean_ >= ManyTasks(sample) && OthersRan(sample, unshared());
    if (!contended_) window_ns_ = 0;
  }

  uint64_t mean_ = 0;  // of runnable tasks, times kScale
  uint64_t sampled_ns_ = 0;
  uint64_t window_ns_ = 0;  // since when processor time is compared; 0: it is not
  uint64_t window_unshared_ns_ = 0;
  bool contended_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_CONTENTION_H_
