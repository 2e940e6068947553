#include "os/thread.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <new>
#include <utility>

#include "os/mapping.h"
#include "os/program.h"

namespace uzswap::os {
namespace {

// Of the thread that first asked, which the program's thread created. Written by the daemon before
// it creates a thread.
constexpr int kNiceUnknown = 100;
int g_program_nice = kNiceUnknown;

// With a limit, the kernel ends a process whose real-time thread computes for long.
bool MayBeRealTime() {
  rlimit limit{};
  if (syscall(SYS_prlimit64, 0, RLIMIT_RTTIME, nullptr, &limit) != 0) return false;
  return limit.rlim_cur == RLIM_INFINITY;
}

constexpr size_t kStackBytes = 256 << 10;
// The process between the program and a sibling runs at the lower end of the sibling's stack.
constexpr size_t kParentStackBytes = 64 << 10;
// glibc's reserve for initial-exec thread-locals of libraries is much smaller than this.
constexpr size_t kStaticTlsBytes = 64 << 10;
constexpr size_t kDescriptorBytes = 16 << 10;
constexpr size_t kCanaryOffset = 0x28;
constexpr size_t kSelfOffset = 0x10;
constexpr int kThreadsMax = 16;

struct Start {
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  ServiceHome home = ServiceHome::kProgram;
  const char* name = nullptr;
  KeptDescriptors keep = kKeepNothing;
  std::byte* stack = nullptr;
  void* thread_pointer = nullptr;
  int sibling = 0;  // its process id
  int error = 0;    // of the clone that makes it
};

// Thread memory is never released: a service thread ends with the process.
struct ThreadMemory {
  Mapping mapping;
  Start start;
};
alignas(ThreadMemory) std::byte g_threads[kThreadsMax][sizeof(ThreadMemory)];
// An entry is taken before the thread exists, because a new thread may start another at once.
std::atomic<int> g_thread_count{0};

// clone copied the program's descriptor table. If its pipes stayed open here, their readers would
// never see the end of the file.
void EmptyTable(KeptDescriptors keep) {
  constexpr auto kEnd = static_cast<int>(kKeptDescriptor + kKeptMax);
  // The table may be full, and a move may need a free number.
  for (int i = 0; i <= kEnd; ++i) {
    if (std::find(keep.begin(), keep.end(), i) == keep.end()) syscall(SYS_close, i);
  }
  for (size_t i = 0; i < kKeptMax; ++i) {
    const auto place = static_cast<int>(kKeptDescriptor + i);
    if (keep[i] < 0 || keep[i] == place) continue;
    // One that is kept later is in its place.
    for (size_t later = i + 1; later < kKeptMax; ++later) {
      if (keep[later] == place) keep[later] = static_cast<int>(syscall(SYS_dup, place));
    }
    syscall(SYS_dup3, keep[i], place, O_CLOEXEC);
    syscall(SYS_close, keep[i]);
  }
  for (size_t i = 0; i < kKeptMax; ++i) {
    if (keep[i] < 0) syscall(SYS_close, static_cast<int>(kKeptDescriptor + i));
  }
  syscall(SYS_close_range, 0u, static_cast<unsigned>(kKeptDescriptor - 1), 0u);
  syscall(SYS_close_range, static_cast<unsigned>(kEnd), ~0u, 0u);
  const long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
  if (null != 0) return;
  syscall(SYS_dup3, 0, 1, 0);
  syscall(SYS_dup3, 0, 2, 0);
}

// The program's handlers must not run here, and its files must not be held open. The limits that
// stop the program, for instance of processor time, do not apply as long as that is permitted. It
// leaves the process group, but not the session: the kernel schedules sessions as groups, and
// faults cost twice as much with two groups (docs/decisions/0039).
void LeaveProgram() {
  UseOwnSignals();
  syscall(SYS_setpgid, 0, 0);
  for (const auto resource : {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (syscall(SYS_prlimit64, 0, resource, nullptr, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    syscall(SYS_prlimit64, 0, resource, &limit, nullptr);
  }
}

int Enter(void* raw) {
  const Start& start = *static_cast<Start*>(raw);
  if (start.home == ServiceHome::kSibling) LeaveProgram();
  if (OutsideProgram()) UnblockFaults();
  if (start.home != ServiceHome::kCaller) EmptyTable(start.keep);
  syscall(SYS_prctl, PR_SET_NAME, start.name, 0, 0, 0);
  start.body(start.argument);
  return 0;
}

int CloneAsChild(Start& start) {
  constexpr int kFlags = CLONE_VM | CLONE_SETTLS | CLONE_UNTRACED;
  start.sibling = clone(Enter, start.stack + kStackBytes, kFlags, &start, nullptr,
                        start.thread_pointer, nullptr);
  return start.sibling < 0 ? errno : 0;
}

// The program's child for a moment. It makes the sibling and ends, so the sibling is no child of
// the program. Exit signal 0: the program gets no SIGCHLD, and wait does not report it.
int BecomeParent(void* raw) {
  auto& start = *static_cast<Start*>(raw);
  start.error = CloneAsChild(start);
  syscall(SYS_exit_group, 0);
  return 0;
}

// The first process of a PID namespace and a subreaper get the children of processes that end.
// Their sibling stays their own child: with exit signal 0 wait does not report it.
bool GetsOrphans() {
  int subreaper = 0;
  syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
  return subreaper != 0 || syscall(SYS_getpid) == 1;
}

// Untraced: a debugger of the program, or strace -f, does not attach to it.
int CloneSibling(Start& start) {
  if (GetsOrphans()) return CloneAsChild(start);
  constexpr int kFlags = CLONE_VM | CLONE_VFORK | CLONE_SETTLS | CLONE_UNTRACED;
  const int parent = clone(BecomeParent, start.stack + kParentStackBytes, kFlags, &start, nullptr,
                           start.thread_pointer, nullptr);
  if (parent < 0) return errno;
  long reaped = 0;
  do {
    reaped = syscall(SYS_wait4, parent, nullptr, __WALL, nullptr);
  } while (reaped < 0 && errno == EINTR);
  return start.error;
}

int CloneThread(Start& start) {
  int flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
  if (start.home == ServiceHome::kCaller) flags |= CLONE_FILES;
  const int made = clone(Enter, start.stack + kStackBytes, flags, &start, nullptr,
                         start.thread_pointer, nullptr);
  return made < 0 ? errno : 0;
}

void* ThreadPointerOf(const Mapping& mapping) {
  std::byte* pointer = mapping.data() + kStackBytes + kStaticTlsBytes;
  const auto self = reinterpret_cast<uint64_t>(pointer);
  memcpy(pointer, &self, sizeof(self));
  memcpy(pointer + kSelfOffset, &self, sizeof(self));
  uint64_t canary = 0;
  __asm__("mov %%fs:0x28, %0" : "=r"(canary));
  memcpy(pointer + kCanaryOffset, &canary, sizeof(canary));
  return pointer;
}

bool Pin(uint32_t thread, int processor) {
  uint64_t mask[16] = {};
  if (processor < 0 || processor >= 1024) return false;
  mask[processor / 64] = uint64_t{1} << (processor % 64);
  return syscall(SYS_sched_setaffinity, static_cast<long>(thread), sizeof(mask), mask) == 0;
}

}  // namespace

Result<uint32_t> StartServiceThread(void (*body)(void*), void* argument, ServiceHome home,
                                    const char* name, const KeptDescriptors& keep) {
  Result<Mapping> made =
      Mapping::Create(Bytes(kStackBytes + kStaticTlsBytes + kDescriptorBytes), "a thread's stack");
  if (!made.ok()) return made.error();
  // Relaxed: only the uniqueness of the number matters.
  const int index = g_thread_count.fetch_add(1, std::memory_order_relaxed);
  if (index >= kThreadsMax) return Error{EAGAIN, "too many service threads"};
  auto* memory = new (g_threads[index]) ThreadMemory;
  memory->mapping = std::move(made).value();
  memory->start = {
      body, argument, home, name, keep, memory->mapping.data(), ThreadPointerOf(memory->mapping),
      0,    0};

  const uint64_t blocked = BlockSignals();
  const int error =
      home == ServiceHome::kSibling ? CloneSibling(memory->start) : CloneThread(memory->start);
  RestoreSignals(blocked);
  if (error != 0) {
    memory->mapping = Mapping();
    return Error{error, "clone of a service thread"};
  }
  return static_cast<uint32_t>(memory->start.sibling);
}

uint64_t BlockSignals() {
  // All 64 bits: the C library's sigset functions would leave out its own signals.
  const uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
  return before;
}

void RestoreSignals(uint64_t blocked) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, nullptr, sizeof(blocked));
}

void ForgetServiceThreads() {
  const int count = g_thread_count.exchange(0, std::memory_order_relaxed);
  for (int i = 0; i < count && i < kThreadsMax; ++i) {
    std::launder(reinterpret_cast<ThreadMemory*>(g_threads[i]))->~ThreadMemory();
  }
}

void PinToProcessor(int processor) { Pin(0, processor); }

bool PinToCallersProcessor(uint32_t thread) {
  unsigned processor = 0;
  if (syscall(SYS_getcpu, &processor, nullptr, nullptr) != 0) return false;
  return Pin(thread, static_cast<int>(processor));
}

void SetUrgency(Urgency urgency) { SetUrgencyOf(0, urgency); }

void SetUrgencyOf(uint32_t thread, Urgency urgency) {
  constexpr long kRawNiceOfZero = 20;  // the system call returns 20 minus the nice value
  constexpr int kPreferredNice = -10;
  if (g_program_nice == kNiceUnknown) {
    const long raw = syscall(SYS_getpriority, PRIO_PROCESS, 0);
    g_program_nice = raw > 0 ? static_cast<int>(kRawNiceOfZero - raw) : 0;
  }
  const long id = thread;
  const sched_param priority{.sched_priority = urgency == Urgency::kRealTime ? 1 : 0};
  if (urgency == Urgency::kRealTime) {
    if (MayBeRealTime() && syscall(SYS_sched_setscheduler, id, SCHED_RR, &priority) == 0) return;
  } else {
    syscall(SYS_sched_setscheduler, id, SCHED_OTHER, &priority);
  }
  const int nice = urgency == Urgency::kOrdinary ? g_program_nice : kPreferredNice;
  syscall(SYS_setpriority, PRIO_PROCESS, id, nice);
}

RealTimeScope::RealTimeScope(bool wanted) {
  if (!wanted || !MayBeRealTime()) return;
  // Another policy, or a flag, is the program's choice.
  if (syscall(SYS_sched_getscheduler, 0) != SCHED_OTHER) return;
  const sched_param lowest{.sched_priority = 1};
  changed_ = syscall(SYS_sched_setscheduler, 0, SCHED_RR, &lowest) == 0;
}

RealTimeScope::~RealTimeScope() {
  const sched_param none{.sched_priority = 0};
  if (changed_) syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none);
}

uint64_t InvoluntarySwitches() {
  rusage usage{};
  syscall(SYS_getrusage, RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_nivcsw);
}

void YieldProcessor() {
  constexpr long kResetOnFork = 0x40000000;
  const long policy = syscall(SYS_sched_getscheduler, 0) & ~kResetOnFork;
  constexpr long kDeadline = 6;  // SCHED_DEADLINE
  if (policy != SCHED_RR && policy != SCHED_FIFO && policy != kDeadline) {
    syscall(SYS_sched_yield);
    return;
  }
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 50'000};
  syscall(SYS_nanosleep, &kPause, nullptr);
}

void FutexWait(const void* word, uint32_t expected, uint64_t timeout_ns) {
  timespec timeout{static_cast<time_t>(timeout_ns / 1000000000),
                   static_cast<long>(timeout_ns % 1000000000)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &timeout, nullptr, 0);
}

void FutexWake(const void* word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

uint64_t ThreadNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t MonotonicNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

uint32_t ProcessNumber() { return static_cast<uint32_t>(syscall(SYS_getpid)); }
uint32_t ThreadNumber() { return static_cast<uint32_t>(syscall(SYS_gettid)); }

}  // namespace uzswap::os
