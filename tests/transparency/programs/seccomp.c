// seccomp ACTION WHEN WHO MIB: installs a list of allowed system calls, then works on.
//
//   ACTION   kill | thread | errno: what the kernel does for any other call
//   WHEN     early: before there is a set     late: after pages were swapped out
//   WHO      all: the filter is for all threads of the process (TSYNC)     one: the calling thread
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "working_set.h"

static const int kAllowed[] = {
    SYS_read,          SYS_write,          SYS_mmap,
    SYS_munmap,        SYS_mremap,         SYS_brk,
    SYS_futex,         SYS_madvise,        SYS_mprotect,
    SYS_mincore,       SYS_exit,           SYS_exit_group,
    SYS_rt_sigreturn,  SYS_rt_sigprocmask, SYS_nanosleep,
    SYS_newfstatat,    SYS_sched_yield,    SYS_clock_nanosleep,
    SYS_clock_gettime, SYS_close,          SYS_getrandom,
};

static struct sock_filter Statement(unsigned code, unsigned value) {
  return (struct sock_filter)BPF_STMT((unsigned short)code, value);
}

static struct sock_filter JumpIfEqual(unsigned value, unsigned skipped) {
  return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, (unsigned char)skipped, 0);
}

static void Install(unsigned action, unsigned flags) {
  enum { kCount = sizeof kAllowed / sizeof *kAllowed };
  struct sock_filter program[kCount + 3];
  size_t size = 0;
  program[size++] = Statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (unsigned i = 0; i < kCount; ++i) {
    program[size++] = JumpIfEqual((unsigned)kAllowed[i], kCount - i);
  }
  program[size++] = Statement(BPF_RET | BPF_K, action);
  program[size++] = Statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {(unsigned short)size, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail("PR_SET_NO_NEW_PRIVS failed");
  const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (result != 0) Fail("seccomp: result %ld, errno %d", result, errno);
}

static unsigned ActionOf(const char* name) {
  if (Is(name, "kill")) return SECCOMP_RET_KILL_PROCESS;
  if (Is(name, "thread")) return SECCOMP_RET_KILL_THREAD;
  return SECCOMP_RET_ERRNO | EPERM;
}

int main(int count, char** words) {
  const unsigned action = ActionOf(Word(count, words, 1));
  const int late = Is(Word(count, words, 2), "late");
  const unsigned flags = Is(Word(count, words, 3), "all") ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  const size_t bytes = Number(count, words, 4) * kMiB;
  if (!late) Install(action, flags);
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  if (late) Install(action, flags);
  void* second = MapSet(bytes / 2, 2);
  return Verdict(Sweep(set, bytes, 1, 2) + Sweep(second, bytes / 2, 2, 2));
}
