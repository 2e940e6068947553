// FakeTrainingStarter: no process. The test says what Start answers and when the process has ended.
#ifndef UZSWAP_BROKER_TESTING_FAKE_TRAINING_STARTER_H_
#define UZSWAP_BROKER_TESTING_FAKE_TRAINING_STARTER_H_

#include <cerrno>
#include <cstdint>

#include "broker/training_starter.h"

namespace uzswap::testing {

class FakeTrainingStarter : public TrainingStarter {
 public:
  Result<void> Start(int file, uint64_t now_ms) override {
    last_file = file;
    if (refuse_with != 0) return Error{refuse_with, "injected"};
    if (due != UINT64_MAX) return Error{EBUSY, "running"};
    ++starts;
    due = now_ms + 1000;
    return {};
  }
  [[nodiscard]] int descriptor() const override { return wake; }
  [[nodiscard]] uint64_t due_ms() const override { return due; }
  void Attend(uint64_t now_ms) override {
    ++attends;
    if (now_ms >= due) due = UINT64_MAX;
  }

  int refuse_with = 0;
  int starts = 0;
  int attends = 0;
  int last_file = -1;
  int wake = -1;
  uint64_t due = UINT64_MAX;
};

}  // namespace uzswap::testing

#endif  // UZSWAP_BROKER_TESTING_FAKE_TRAINING_STARTER_H_
