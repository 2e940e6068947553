// children HOW MIB: makes a process in one of the ways that there are, after pages were swapped
// out.
//
//   clone     the system call clone, without the C library: the child checks the whole set
//   clone3    the same with clone3
//   clone-on  clone of the C library, on a stack of its own
//   _Fork     fork without handlers, in a signal handler
//   vfork     the child executes this program again
//   spawn     posix_spawn of this program
//   system    a shell that starts this program
//   reader    fork; the child only reads the set: parent and child share its pages
//   chain     a fork of a fork of a fork, each of which checks and changes the set
//   thread    fork from another thread than the first, while others sweep
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "working_set.h"

enum { kDepth = 3, kForks = 4, kStackBytes = 256 << 10 };

extern char** environ;
static const char* g_self;
static char* g_set;
static size_t g_bytes;
static int g_end;
static pid_t g_child;

static size_t Await(pid_t child, const char* what) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) Fail("%s failed", what);
  printf("%s: status %#x\n", what, status);
  return status != 0;
}

static size_t CloneRaw(void) {
  const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) syscall(SYS_exit_group, Check(g_set, g_bytes, 1) != 0);
  return Await(child, "clone");
}

static size_t Clone3Raw(void) {
  struct clone_args arguments = {.exit_signal = SIGCHLD};
  const pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) syscall(SYS_exit_group, Check(g_set, g_bytes, 1) != 0);
  return Await(child, "clone3");
}

static int CheckOnStack(void* unused) {
  (void)unused;
  return Check(g_set, g_bytes, 1) != 0;
}

static size_t CloneOnStack(void) {
  char* stack = malloc(kStackBytes);
  return Await(clone(CheckOnStack, stack + kStackBytes, SIGCHLD, NULL), "clone");
}

static void ForkInHandler(int signal) {
  (void)signal;
  g_child = _Fork();
  if (g_child == 0) _exit(Check(g_set, g_bytes, 1) != 0);
}

static size_t QuickFork(void) {
  signal(SIGUSR1, ForkInHandler);
  raise(SIGUSR1);
  return Await(g_child, "_Fork");
}

static size_t Vfork(void) {
  const pid_t child = vfork();
  if (child == 0) {
    execl(g_self, g_self, "nothing", "1", (char*)NULL);
    _exit(99);
  }
  return Await(child, "vfork");
}

static size_t Spawn(void) {
  char* const words[] = {(char*)g_self, "nothing", "1", NULL};
  pid_t child = -1;
  if (posix_spawn(&child, g_self, NULL, NULL, words, environ) != 0) Fail("posix_spawn failed");
  return Await(child, "posix_spawn");
}

static size_t System(void) {
  char command[4200];
  snprintf(command, sizeof command, "'%s' nothing 1", g_self);
  const int status = system(command);
  printf("system: status %#x\n", status);
  return status != 0;
}

static size_t Reader(void) {
  const pid_t child = fork();
  if (child == 0) _exit(Sweep(g_set, g_bytes, 1, 3) != 0);
  return Await(child, "fork");
}

static int Generation(uint64_t depth) {
  size_t wrong = Check(g_set, g_bytes, depth);
  if (depth == kDepth) return wrong != 0;
  const pid_t child = fork();
  if (child == 0) {
    wrong += Check(g_set, g_bytes, depth);
    Fill(g_set, g_bytes, depth + 1);
    _exit(Generation(depth + 1) + (wrong != 0));
  }
  int status = -1;
  waitpid(child, &status, 0);
  wrong += Check(g_set, g_bytes, depth);
  return wrong != 0 || status != 0;
}

static size_t Chain(void) {
  const int failed = Generation(1);
  printf("the chain is %s\n", failed ? "broken" : "right");
  return (size_t)failed;
}

static void* SweepTillEnd(void* wrong) {
  while (!__atomic_load_n(&g_end, __ATOMIC_RELAXED)) *(size_t*)wrong += Check(g_set, g_bytes, 1);
  return NULL;
}

static void* ForkAndCheck(void* wrong) {
  for (int i = 0; i < kForks; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(Check(g_set, g_bytes, 1) != 0);
    *(size_t*)wrong += Await(child, "fork");
  }
  return NULL;
}

static size_t FromThread(void) {
  size_t wrong[2] = {0, 0};
  pthread_t sweeper;
  pthread_t forker;
  pthread_create(&sweeper, NULL, SweepTillEnd, &wrong[0]);
  pthread_create(&forker, NULL, ForkAndCheck, &wrong[1]);
  pthread_join(forker, NULL);
  __atomic_store_n(&g_end, 1, __ATOMIC_RELAXED);
  pthread_join(sweeper, NULL);
  return wrong[0] + wrong[1];
}

static const struct {
  const char* name;
  size_t (*make)(void);
} kWays[] = {
    {"clone", CloneRaw}, {"clone3", Clone3Raw},  {"clone-on", CloneOnStack}, {"_Fork", QuickFork},
    {"vfork", Vfork},    {"spawn", Spawn},       {"system", System},         {"reader", Reader},
    {"chain", Chain},    {"thread", FromThread},
};

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  g_self = words[0];
  g_bytes = Number(count, words, 2) * kMiB;
  g_set = MapSet(g_bytes, 1);
  if (Is(how, "nothing")) return Check(g_set, g_bytes, 1) != 0;
  AwaitEviction(g_set, g_bytes);
  for (size_t i = 0; i < sizeof kWays / sizeof *kWays; ++i) {
    if (!Is(how, kWays[i].name)) continue;
    fflush(stdout);
    const size_t wrong = kWays[i].make();
    return Verdict(wrong + Sweep(g_set, g_bytes, 1, 2));
  }
  Fail("unknown: %s", how);
}
