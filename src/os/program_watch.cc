#include "os/program_watch.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <optional>
#include <string_view>

#include "base/parse_size.h"
#include "os/program.h"
#include "os/read_file.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

// The sleeps without the word. The pidfd is not waited on, so the longest one bounds how long
// memory stays allocated after the program has ended. The kernel clears the word a moment before
// the pidfd can be read, or before the new program has its memory: so the first sleeps are short.
constexpr uint64_t kUncertainFirstNs = 50'000;
constexpr uint64_t kUncertainNs = 5'000'000;
// The longest sleep with it, for the case that the kernel cannot clear it.
constexpr uint64_t kCertainNs = 100'000'000;

// Pages of the address space of the process behind `path` (statm); 0 if it has no memory, as when
// its first thread has ended. Nothing if it cannot be read.
std::optional<uint64_t> AddressSpacePages(const char* path) {
  char buffer[128];
  const Result<std::string_view> text = ReadSmallFile(path, buffer);
  if (!text.ok()) return std::nullopt;
  return ParseDecimal(text.value().substr(0, text.value().find(' ')));
}

struct FutexWaiter {  // struct futex_waitv
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};

constexpr uint32_t kFutex32 = 0x02;

}  // namespace

ProgramWatch::~ProgramWatch() {
  if (pidfd_ >= 0) syscall(SYS_close, pidfd_);
}

void ProgramWatch::Open() {
  outside_ = OutsideProgram();
  if (!outside_) return;
  pidfd_ = OpenProgramPidfd();
  if (pidfd_ >= 0) FindProgramInProc(pidfd_);
  word_ = ProgramThreadWord();
  thread_ = ProgramPid();
  woken_others_ = false;
  uncertain_ns_ = kUncertainFirstNs;
}

void ProgramWatch::Forget() {
  outside_ = false;
  pidfd_ = -1;
  word_ = nullptr;
}

bool ProgramWatch::WordIsCleared() const {
  // Relaxed: what it means is found out by system calls.
  return word_ == nullptr || __atomic_load_n(word_, __ATOMIC_RELAXED) != thread_;
}

bool ProgramWatch::HasEnded() const {
  if (pidfd_ < 0) return syscall(SYS_kill, ProgramPid(), 0) != 0 && errno == ESRCH;
  pollfd ready = {pidfd_, POLLIN, 0};
  const timespec at_once{};
  return syscall(SYS_ppoll, &ready, 1, &at_once, nullptr, 8) == 1;
}

bool ProgramWatch::HasOtherMemory() {
  const ProcPath theirs = ProgramPath("statm");
  const std::optional<uint64_t> before = AddressSpacePages(theirs.c_str());
  if (!before || *before == 0) return false;
  const long self = syscall(SYS_getpid);
  const long same = syscall(SYS_kcmp, static_cast<long>(ProgramPid()), self, KCMP_VM, 0L, 0L);
  if (same == 0) return false;
  const std::optional<uint64_t> own = AddressSpacePages("/proc/self/statm");
  const std::optional<uint64_t> after = AddressSpacePages(theirs.c_str());
  // A thread never gets memory back: with memory before and after, kcmp has compared memory.
  if (!after || *after == 0) return false;
  if (same > 0) return true;
  const std::optional<uint64_t> own_after = AddressSpacePages("/proc/self/statm");
  return own && own == own_after && *before != *own && *after != *own;
}

bool ProgramWatch::GoneNow() const {
  if (!outside_) return false;
  if (HasEnded()) return true;
  if (pidfd_ >= 0) FindProgramInProc(pidfd_);
  return HasOtherMemory();
}

bool ProgramWatch::GoneSoon(uint64_t timeout_ns) const {
  const uint64_t begin = MonotonicNanoseconds();
  while (!GoneNow()) {
    const bool uncertain = word_ != nullptr && WordIsCleared();
    if (!uncertain || MonotonicNanoseconds() - begin >= timeout_ns) return false;
    const uint32_t never = 0;
    FutexWait(&never, 0, kUncertainNs);
  }
  return true;
}

bool ProgramWatch::Gone() {
  if (!outside_) return false;
  const bool cleared = WordIsCleared();
  if (!cleared && ++looks_ % kLooksBetweenCalls != 0) return false;
  if (cleared && !woken_others_ && word_ != nullptr) {
    // The kernel wakes one waiter. That was perhaps us, instead of a thread that joins it.
    syscall(SYS_futex, word_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    woken_others_ = true;
  }
  return GoneNow();
}

void EndProcess() {
  syscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

void ProgramWatch::Wait(const std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns) {
  if (!outside_) return FutexWait(&word, expected, timeout_ns);
  if (WordIsCleared()) {
    FutexWait(&word, expected, std::min(timeout_ns, uncertain_ns_));
    uncertain_ns_ = std::min(2 * uncertain_ns_, kUncertainNs);
    return;
  }
  const FutexWaiter waiters[] = {
      {expected, reinterpret_cast<uint64_t>(&word), kFutex32 | FUTEX_PRIVATE_FLAG, 0},
      {thread_, reinterpret_cast<uint64_t>(word_), kFutex32, 0}};
  const uint64_t bounded = std::min(timeout_ns, kCertainNs);
  const uint64_t until = MonotonicNanoseconds() + bounded;
  const timespec deadline{static_cast<time_t>(until / 1'000'000'000),
                          static_cast<long>(until % 1'000'000'000)};
  constexpr long kFutexWaitv = 449;
  if (syscall(kFutexWaitv, waiters, 2L, 0L, &deadline, CLOCK_MONOTONIC) >= 0) return;
  // A sandbox may not know the call.
  if (errno == ENOSYS || errno == EPERM || errno == EFAULT) {
    FutexWait(&word, expected, std::min(timeout_ns, kUncertainNs));
  }
}

}  // namespace uzswap::os
