// TrainingProcess: makes a dictionary from an engine's samples, in a process of its own.
//
//   broker ──fork──> training process
//     │                 nice 10, first to be killed if memory runs out, ends with the broker;
//     │                 descriptors: /dev/null (0, 1, 2), the TrainingFile
//     │                 takes the request, trains or finds a known dictionary, answers, ends
//     │ pidfd, and a time limit
//     └── KnownDictionaries, shared with each training process in turn
//
// It is a fork of the broker, not an exec: nothing is loaded, and only what it writes takes memory.
//
// What arrives was written by a program that may be anything. The file's size is sealed, so no
// access raises SIGBUS; the samples are copied before they are used; if the process crashes
// nevertheless, that is counted, and the run continues without this dictionary.
//
// One object, on the broker's only thread.
#ifndef UZSWAP_APPS_CLI_TRAINING_PROCESS_H_
#define UZSWAP_APPS_CLI_TRAINING_PROCESS_H_

#include <sys/types.h>

#include "broker/training_starter.h"
#include "os/shared_memory.h"
#include "session/broker_record.h"
#include "session/training_file.h"
#include "train/known_dictionaries.h"

namespace uzswap::cli {

// How a training process ends.
enum class TrainingEnd : uint8_t {
  kAnswered = 0,   // with a new dictionary, or with an errno
  kReused = 1,     // with a known dictionary
  kNoRequest = 2,  // nothing to answer, or nobody waits for it
};

// What the process does: takes the request of the file and answers it.
TrainingEnd AnswerRequest(TrainingFile& file, KnownDictionaries& known);

class TrainingProcess : public TrainingStarter {
 public:
  // Training takes 0.1 s of processor time or less. With nice 10 on a busy machine that can be
  // long.
  static constexpr uint64_t kTimeMs = 60'000;
  using Work = TrainingEnd (*)(TrainingFile& file, KnownDictionaries& known);

  // `work` and `time_ms` are for tests. The counters must outlive the object.
  explicit TrainingProcess(BrokerCounters& counters, Work work = AnswerRequest,
                           uint64_t time_ms = kTimeMs)
      : counters_(counters), work_(work), time_ms_(time_ms) {}
  TrainingProcess(const TrainingProcess&) = delete;
  TrainingProcess& operator=(const TrainingProcess&) = delete;
  // Kills and reaps the process.
  ~TrainingProcess() override;

  Result<void> Start(int file, uint64_t now_ms) override;
  [[nodiscard]] int descriptor() const override { return pidfd_; }
  [[nodiscard]] uint64_t due_ms() const override { return due_ms_; }
  void Attend(uint64_t now_ms) override;

  // -1: there is none.
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  [[noreturn]] void BeTrainer(int file, pid_t broker);
  void Forget();

  BrokerCounters& counters_;
  const Work work_;
  const uint64_t time_ms_;
  os::SharedMemory known_;  // from the first training on
  pid_t process_ = -1;
  int pidfd_ = -1;
  uint64_t due_ms_ = UINT64_MAX;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_TRAINING_PROCESS_H_
