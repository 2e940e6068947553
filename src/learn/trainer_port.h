// TrainerPort: who makes a dictionary from samples; tests replace it.
//
// Training needs a heap and some ten milliseconds of a processor, so it happens in another process,
// or in the caller of a library.
#ifndef UZSWAP_LEARN_TRAINER_PORT_H_
#define UZSWAP_LEARN_TRAINER_PORT_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace uzswap {

enum class [[nodiscard]] TrainOutcome : uint8_t{
    kTrained,
    kFailed,       // this time: it ended, it took too long, the samples are of no use
    kBusy,         // not now: no room for it, or the trainer works for somebody else
    kUnavailable,  // there is nobody to ask, and will not be
};

struct TrainResult {
  TrainOutcome outcome = TrainOutcome::kFailed;
  size_t bytes = 0;  // kTrained: of the dictionary, at the start of `to`
};

class TrainerPort {
 public:
  // May wait for some seconds. `samples` is a multiple of a page. What is written to `to` is not
  // trusted: the caller checks it.
  virtual TrainResult Train(std::span<const std::byte> samples, std::span<std::byte> to) = 0;
  // In a forked child: what was open is the parent's.
  virtual void ForgetInChild() = 0;

 protected:
  ~TrainerPort() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_LEARN_TRAINER_PORT_H_
