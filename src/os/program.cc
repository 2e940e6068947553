#include "os/program.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/check.h"
#include "os/process_identity.h"

namespace uzswap::os {
namespace {

// Relaxed: written before the service threads exist.
std::atomic<uint32_t> g_pid{0};
std::atomic<uint32_t> g_proc_pid{0};  // 0: /proc is not there
std::atomic<const uint32_t*> g_thread_word{nullptr};

// The number that the mounted /proc knows the calling process by.
uint32_t PidInProc() {
  char digits[16];
  const long length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self", digits, sizeof(digits));
  uint32_t pid = 0;
  for (long i = 0; i < length; ++i) {
    if (digits[i] < '0' || digits[i] > '9') return 0;
    pid = pid * 10 + static_cast<uint32_t>(digits[i] - '0');
  }
  return pid;
}

struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
constexpr unsigned long kSaRestorer = 0x04000000;  // the kernel asks for it
constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

void NeverReturns() {}
void OnFault(int signal) {
  PanicOperands(__FILE__, __LINE__, "a fatal signal in a service thread",
                static_cast<uint64_t>(signal), 0);
}

uint32_t OwnPid() { return static_cast<uint32_t>(syscall(SYS_getpid)); }

}  // namespace

void NoteProgram() {
  g_pid.store(OwnPid(), std::memory_order_relaxed);
  g_proc_pid.store(PidInProc(), std::memory_order_relaxed);
  const uint32_t* word = nullptr;
  const bool told = syscall(SYS_prctl, PR_GET_TID_ADDRESS, &word, 0, 0, 0) == 0;
  g_thread_word.store(told ? word : nullptr, std::memory_order_relaxed);
}

void FindProgramInProc(int pidfd) {
  const Result<uint32_t> pid = PidOf(pidfd);
  if (pid.ok()) g_proc_pid.store(pid.value(), std::memory_order_relaxed);
}

uint32_t ProgramPid() {
  const uint32_t pid = g_pid.load(std::memory_order_relaxed);
  return pid != 0 ? pid : OwnPid();
}

int OpenProgramPidfd() { return static_cast<int>(syscall(SYS_pidfd_open, ProgramPid(), 0)); }

bool OutsideProgram() { return ProgramPid() != OwnPid(); }

ProcPath ProgramPath(const char* leaf) {
  ProcPath path;
  path.Text("/proc/");
  const uint32_t pid = g_proc_pid.load(std::memory_order_relaxed);
  if (OutsideProgram() && pid != 0) {
    path.Decimal(pid);
  } else {
    path.Text("self");
  }
  path.Text("/").Text(leaf);
  return path;
}

const uint32_t* ProgramThreadWord() { return g_thread_word.load(std::memory_order_relaxed); }

void KillProgram() {
  if (!OutsideProgram()) return;
  syscall(SYS_kill, ProgramPid(), SIGKILL);
  // The kernel does not let a process of the namespace kill its first process. As long as the
  // service threads exist its memory is not wrong, so they stay and serve nothing.
  while (ProgramPid() == 1) syscall(SYS_pause);
}

void UseOwnSignals() {
  const KernelSigaction standard{};
  for (int signal = 1; signal <= 64; ++signal) {
    syscall(SYS_rt_sigaction, signal, &standard, nullptr, sizeof(standard.mask));
  }
  const KernelSigaction action{OnFault, kSaRestorer, NeverReturns, 0};
  for (const int signal : kFaults) {
    syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof(action.mask));
  }
}

void UnblockFaults() {
  uint64_t mask = 0;
  for (const int signal : kFaults) mask |= uint64_t{1} << (signal - 1);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, nullptr, sizeof(mask));
}

}  // namespace uzswap::os
