// crowd CHILDREN MIB [nproc]: so many children at the same time, each of which checks the set.
// There is room for them and for little else: a pids cgroup around this program, or, with "nproc",
// RLIMIT_NPROC of a user of its own.
#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "working_set.h"

enum { kSpare = 4 };

static void BecomeUserWithLimit(size_t children) {
  // The limit counts all processes of a user: no other test may have this one.
  const uid_t user = 64000 + (uid_t)getpid() % 1000;
  const struct rlimit limit = {children + 1 + kSpare, children + 1 + kSpare};
  if (setrlimit(RLIMIT_NPROC, &limit) != 0 || setgroups(0, NULL) != 0 ||
      setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) {
    Fail("becoming another user failed");
  }
}

int main(int count, char** words) {
  const size_t children = Number(count, words, 1);
  const size_t bytes = Number(count, words, 2) * kMiB;
  if (count > 3) BecomeUserWithLimit(children);
  void* set = MapSet(bytes, 1);
  if (bytes > 8 * (size_t)kMiB) AwaitEviction(set, bytes);
  int gate[2];
  if (pipe(gate) != 0) Fail("pipe failed");
  for (size_t i = 0; i < children; ++i) {
    const pid_t child = fork();
    if (child < 0) Fail("fork %zu failed", i);
    if (child != 0) continue;
    // Until the last child exists: all of them live at the same time.
    char byte;
    close(gate[1]);
    if (read(gate[0], &byte, 1) != 0) _exit(9);
    _exit(Check(set, bytes, 1) != 0);
  }
  close(gate[1]);
  size_t good = 0;
  int status = 0;
  while (wait(&status) > 0) good += status == 0;
  printf("%zu of %zu children are right\n", good, children);
  return Verdict(Check(set, bytes, 1));
}
