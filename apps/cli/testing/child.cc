// A program for the tests to run under uzswap.
//
//   child wait-signal       says "ready", then ends with 100 + the signal it gets
//   child list-signals      says "ready", then prints each signal it gets until SIGUSR1
//   child wait-input        says "ready", then ends when standard input does
//   child raise N           ends itself by signal N
//   child open-descriptors  prints how many it had at its start
//
// A signal that does not come within a minute ends it with status 2 and a message.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace {

void SayReady() {
  puts("ready");
  fflush(stdout);
}

void AwaitInputEnd() {
  char c = 0;
  while (read(STDIN_FILENO, &c, 1) > 0) {
  }
}

int AwaitSignal(const sigset_t& all) {
  constexpr timespec kDeadline = {60, 0};
  const int signal = sigtimedwait(&all, nullptr, &kDeadline);
  if (signal > 0) return signal;
  fputs("child: no signal came before the deadline\n", stderr);
  _exit(2);
}

void ListSignals(const sigset_t& all) {
  int signal = 0;
  while (signal != SIGUSR1) {
    signal = AwaitSignal(all);
    printf("signal %d\n", signal);
    fflush(stdout);
  }
}

int CountDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  int count = -1;  // the one that reads the folder
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(folder);
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGCHLD);
  if (strcmp(mode, "wait-signal") == 0) {
    sigprocmask(SIG_BLOCK, &all, nullptr);
    SayReady();
    return 100 + AwaitSignal(all);
  }
  if (strcmp(mode, "list-signals") == 0) {
    sigprocmask(SIG_BLOCK, &all, nullptr);
    SayReady();
    ListSignals(all);
    return 0;
  }
  if (strcmp(mode, "wait-input") == 0) {
    SayReady();
    AwaitInputEnd();
    return 0;
  }
  if (strcmp(mode, "raise") == 0) {
    raise(atoi(argv[2]));
    return 0;
  }
  if (strcmp(mode, "open-descriptors") == 0) {
    printf("%d\n", CountDescriptors());
    return 0;
  }
  return 1;
}
