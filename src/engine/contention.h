// Contention: do more tasks want a processor than the machine has?
//
//   runnable tasks, sampled by the daemon ──> mean of about 8 samples ──> session: the whole tree
//
//       idle ──mean >= processors + 1.75──> contended
//            <──mean < processors + 1, and a second has passed──
//
// The program, the pager, the daemon and the writer of one process are three runnable tasks on
// average, on two processors, so they alone are no contention. An endless loop on each processor
// is. Then the kernel's scheduler lets threads of the engine wait for a long time, however nice
// they are (docs/decisions/0034). Priority that keeps them from waiting costs the program its
// processor, which is a loss while another one is idle: so it has to be known which it is.
//
// Plain arithmetic; one thread.
#ifndef UZSWAP_ENGINE_CONTENTION_H_
#define UZSWAP_ENGINE_CONTENTION_H_

#include <algorithm>
#include <cstdint>

namespace uzswap {

class Contention {
 public:
  static constexpr uint64_t kSampleNs = 2'000'000;  // the least time between two samples
  static constexpr uint64_t kHoldNs = 1'000'000'000;

  // Is one sample as high as a mean must be?
  static constexpr bool IsHigh(uint32_t runnable, uint32_t processors) {
    return runnable * kScale >= processors * kScale + kEnterAbove;
  }
  [[nodiscard]] bool SampleDue(uint64_t now_ns) const {
    return sampled_ns_ == 0 || now_ns - sampled_ns_ >= kSampleNs;
  }
  // `runnable` counts the caller. Returns contended().
  bool NoteSample(uint32_t runnable, uint32_t processors, uint64_t now_ns) {
    // A late sample stands for all the samples that were missed, up to half of the mean.
    const uint64_t missed = sampled_ns_ == 0 ? kWeight : (now_ns - sampled_ns_) / kSampleNs;
    const uint64_t share = std::clamp<uint64_t>(missed, 1, kWeight / 2);
    sampled_ns_ = now_ns;
    mean_ = (mean_ * (kWeight - share) + runnable * kScale * share) / kWeight;
    if (mean_ >= processors * kScale + kEnterAbove) {
      contended_ = true;
      since_ns_ = now_ns;
    } else if (contended_ && mean_ < (processors + 1) * kScale && now_ns - since_ns_ >= kHoldNs) {
      contended_ = false;
    }
    return contended_;
  }
  [[nodiscard]] bool contended() const { return contended_; }

 private:
  static constexpr uint64_t kWeight = 8;
  static constexpr uint64_t kScale = 256;
  static constexpr uint64_t kEnterAbove = kScale * 7 / 4;

  uint64_t mean_ = 0;  // of runnable tasks, times kScale
  uint64_t sampled_ns_ = 0;
  uint64_t since_ns_ = 0;  // the last sample with a high mean
  bool contended_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_CONTENTION_H_
