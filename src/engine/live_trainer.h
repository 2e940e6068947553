// LiveTrainer: has a dictionary made by a training process of the run's broker.
//
//   charge the tree for it ──> wait for room ──> samples into a memfd ──> BrokerClient::Train
//                                                                              │
//   uncharge, close the memfd <── copy the answer <── look every 2 ms <────────┘
//
// The memory of a training counts in the limit like the program's: the daemon reclaims that much
// before it begins. If usage would be above the limit anyway, the training is postponed.
//
// The exchange is a TrainingFile (session/training_file.h). Its address space is reserved by Init.
// The learner's thread makes all calls but Init and ForgetInChild. Nothing allocates.
#ifndef UZSWAP_ENGINE_LIVE_TRAINER_H_
#define UZSWAP_ENGINE_LIVE_TRAINER_H_

#include <cstdint>

#include "engine/daemon_waker.h"
#include "engine/session_member.h"
#include "engine/usage_meter.h"
#include "learn/trainer_port.h"
#include "os/memory_file.h"
#include "session/training_file.h"

namespace uzswap {

class LiveTrainer final : public TrainerPort {
 public:
  // What a training needs beside the program, while it lasts: the file, and the process that the
  // broker starts.
  static constexpr Bytes kCharge{kTrainingFileBytes + Bytes(3 << 20)};

  struct Parts {
    SessionMember* member = nullptr;
    UsageMeter* meter = nullptr;
    Headroom* headroom = nullptr;
    DaemonWaker* waker = nullptr;
  };
  // Once. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts);

  TrainResult Train(std::span<const std::byte> samples, std::span<std::byte> to) override;
  void ForgetInChild() override;

 private:
  static constexpr uint64_t kLookEveryNs = 2'000'000;
  static constexpr uint64_t kRoomWithinNs = 500'000'000;
  static constexpr uint64_t kAnswerWithinNs = 30'000'000'000;

  [[nodiscard]] bool AwaitRoom();
  TrainResult Exchange(std::span<const std::byte> samples, std::span<std::byte> to);
  TrainResult AwaitAnswer(TrainingFile& file, std::span<std::byte> to);

  Parts parts_;
  os::MemoryFile file_;
  uint64_t sequence_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_LIVE_TRAINER_H_
