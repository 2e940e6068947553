#include "training_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>
#include <vector>

#include "descriptors.h"
#include "os/process_identity.h"
#include "train/dictionary_trainer.h"

namespace uzswap::cli {
namespace {

constexpr char kName[] = "uzswap-train";
// A tenth of a processor beside busy threads. The nicest, and SCHED_IDLE, can wait for a minute:
// docs/decisions/0042.
constexpr int kTrainingNice = 10;

void Yield() {
  setpriority(PRIO_PROCESS, 0, kTrainingNice);
  // A dictionary is never worth another process's life. Raising the score is always permitted.
  constexpr std::string_view kFirst = "1000";
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    const ssize_t ignored = write(score, kFirst.data(), kFirst.size());
    static_cast<void>(ignored);
    close(score);
  }
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
}

uint32_t OwnerOf(int file) {
  struct stat status = {};
  return fstat(file, &status) == 0 ? status.st_uid : UINT32_MAX;
}

}  // namespace

TrainingEnd AnswerRequest(TrainingFile& file, KnownDictionaries& known) {
  const std::optional<TrainingRequest> request = TakeTraining(file);
  if (!request) return TrainingEnd::kNoRequest;
  const std::vector<std::byte> samples(request->samples.begin(), request->samples.end());
  std::vector<std::span<const std::byte>> contents;
  std::vector<size_t> slots;
  for (size_t slot = 0; slot < KnownDictionaries::kSlots; ++slot) {
    if (known.At(slot).empty()) continue;
    contents.push_back(known.At(slot));
    slots.push_back(slot);
  }
  const Result<TrainedDictionary> trained =
      TrainOrReuse(samples, contents, kDictionaryBytesDefault);
  if (!trained.ok()) {
    const bool failed = FailTraining(file, *request, trained.error().errno_value);
    return failed ? TrainingEnd::kAnswered : TrainingEnd::kNoRequest;
  }
  const TrainedDictionary& dictionary = trained.value();
  const uint32_t reused = dictionary.known ? DictionaryVersionOf(dictionary.content) : 0;
  if (!AnswerTraining(file, *request, dictionary.content, reused)) return TrainingEnd::kNoRequest;
  if (!dictionary.known) {
    known.Add(dictionary.content);
    return TrainingEnd::kAnswered;
  }
  known.Use(slots[*dictionary.known]);
  return TrainingEnd::kReused;
}

void TrainingProcess::BeTrainer(int file, pid_t broker) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != broker) _exit(static_cast<int>(TrainingEnd::kNoRequest));
  prctl(PR_SET_NAME, kName);
  CloseAllBut({file});
  Yield();
  const uint32_t owner = OwnerOf(file);
  const Result<os::SharedMemory> memory =
      os::SharedMemory::FromDescriptor(file, kTrainingFileBytes);
  if (!memory.ok()) _exit(static_cast<int>(TrainingEnd::kNoRequest));
  KnownDictionaries known({known_.data(), known_.size()}, owner);
  const TrainingEnd end = work_(*reinterpret_cast<TrainingFile*>(memory.value().data()), known);
  _exit(static_cast<int>(end));
}

Result<void> TrainingProcess::Start(int file, uint64_t now_ms) {
  if (!os::SharedMemory::IsSealedFile(file, kTrainingFileBytes)) {
    return Error{EPROTO, "not a file for training"};
  }
  Attend(now_ms);
  if (process_ > 0) return Error{EBUSY, "a training process runs"};
  if (known_.data() == nullptr) {
    Result<os::SharedMemory> known =
        os::SharedMemory::CreatePrivate(KnownDictionaries::MemoryBytes());
    if (!known.ok()) return known.error();
    known_ = std::move(known).value();
  }
  const pid_t broker = getpid();
  const pid_t process = fork();
  if (process < 0) return Error{errno, "fork of a training process"};
  if (process == 0) BeTrainer(file, broker);
  process_ = process;
  counters_.training_namespace.Set(os::OwnIdentity().pid_namespace);
  counters_.training_process.Set(static_cast<uint64_t>(process));
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  if (pidfd_ < 0) {
    const int failure = errno;
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
    Forget();
    return Error{failure, "pidfd of a training process"};
  }
  due_ms_ = now_ms + time_ms_;
  return {};
}

void TrainingProcess::Attend(uint64_t now_ms) {
  if (process_ < 0) return;
  int status = 0;
  if (waitpid(process_, &status, WNOHANG) != 0) {
    const int end = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (end == static_cast<int>(TrainingEnd::kReused)) {
      counters_.reused_dictionaries.Add();
    } else if (end != static_cast<int>(TrainingEnd::kAnswered)) {
      counters_.failed_trainings.Add();
    }
    Forget();
    return;
  }
  if (now_ms < due_ms_) return;
  kill(process_, SIGKILL);
  counters_.stuck_trainings.Add();
  due_ms_ = UINT64_MAX;  // it is reaped when it has ended
}

void TrainingProcess::Forget() {
  if (pidfd_ >= 0) close(pidfd_);
  process_ = -1;
  counters_.training_process.Set(0);
  pidfd_ = -1;
  due_ms_ = UINT64_MAX;
}

TrainingProcess::~TrainingProcess() {
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  Forget();
}

}  // namespace uzswap::cli
