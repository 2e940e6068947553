// TrainingStarter: how the broker starts a training process, which tests replace.
// apps/cli/training_process.h is the real one.
//
//   client ── kTrain, a memfd ──> RequestHandler ──> Start ──> training process
//                                                                   │ works on the memfd, and ends
//   BrokerServer: waits for descriptor() and due_ms() ──> Attend <──┘
//
// At most one training process of the run exists. While it does, Start answers EBUSY: the engine
// asks again later.
//
// One thread, in the broker's process.
#ifndef UZSWAP_BROKER_TRAINING_STARTER_H_
#define UZSWAP_BROKER_TRAINING_STARTER_H_

#include <cstdint>

#include "base/result.h"

namespace uzswap {

class TrainingStarter {
 public:
  virtual ~TrainingStarter() = default;

  // `file` is a TrainingFile (session/training_file.h) and stays the caller's. The errors: EBUSY;
  // EPROTO, the descriptor is not such a file; what the kernel says if there is no process.
  virtual Result<void> Start(int file, uint64_t now_ms) = 0;

  // Can be read when the process has ended. -1: there is none.
  [[nodiscard]] virtual int descriptor() const = 0;
  // When Attend must be called although the process has not ended. UINT64_MAX: never.
  [[nodiscard]] virtual uint64_t due_ms() const = 0;
  // Reaps a process that has ended, and kills one that takes too long. May be called at any time.
  virtual void Attend(uint64_t now_ms) = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BROKER_TRAINING_STARTER_H_
