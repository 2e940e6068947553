// daemonise FILE MIB: becomes a daemon by fork, setsid, fork, with a set that existed before. The
// first process ends at once. The daemon fills a second set, and writes its verdict to FILE.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "working_set.h"

static void ForkAndLeave(void) {
  const pid_t child = fork();
  if (child < 0) Fail("fork failed");
  if (child > 0) _exit(0);
}

int main(int count, char** words) {
  const char* file = Word(count, words, 1);
  const size_t bytes = Number(count, words, 2) * kMiB;
  char* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  printf("becoming a daemon\n");
  fflush(stdout);
  ForkAndLeave();
  setsid();
  ForkAndLeave();
  char* second = MapSet(bytes, 2);
  AwaitEviction(second, bytes);
  const size_t wrong = Sweep(set, bytes, 1, 2) + Sweep(second, bytes, 2, 2);
  // The reader waits for the final name: it never sees a part of the verdict.
  char unfinished[4200];
  snprintf(unfinished, sizeof unfinished, "%s.new", file);
  FILE* verdict = fopen(unfinished, "w");
  if (verdict == NULL) return kStatusFailed;
  fprintf(verdict, "the daemon: %zu wrong\n", wrong);
  fclose(verdict);
  return rename(unfinished, file) != 0;
}
