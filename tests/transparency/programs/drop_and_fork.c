// drop_and_fork WHAT WHEN MIB: gives something up, then forks children that check what they
// inherited.
//
//   WHAT   chroot: the root directory becomes an empty folder     user: no longer root
//          both: chroot, then user                                nothing
//   WHEN   small: a set of 1 MiB, far below the limit             early: gives up, then fills the
//   set
//          late: fills the set, waits for eviction, gives up
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "working_set.h"

enum { kChildren = 2 };

static void GiveUp(const char* what) {
  if (Is(what, "chroot") || Is(what, "both")) {
    mkdir("jail", 0755);
    if (chroot("jail") != 0 || chdir("/") != 0) Fail("chroot failed");
  }
  if (Is(what, "user") || Is(what, "both")) {
    // A user of its own: other tests count the processes of theirs.
    const uid_t user = 61000 + (uid_t)getpid() % 3000;
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
        setresuid(user, user, user) != 0) {
      Fail("giving up root failed");
    }
  }
}

// A child checks the set, changes a part of it, and has a child of its own check the changed set.
static int Child(char* set, size_t bytes) {
  size_t wrong = Check(set, bytes, 1);
  const size_t part = bytes / 4;
  Fill(set, part, 2);
  const pid_t grandchild = fork();
  if (grandchild == 0) {
    size_t pages = 0;
    for (size_t p = part / kPage; p < bytes / kPage; ++p) {
      pages += (size_t)IsWrong(set + p * kPage, 1, p);
    }
    _exit(pages + Check(set, part, 2) != 0);
  }
  int status = 0;
  waitpid(grandchild, &status, 0);
  wrong += Check(set, part, 2);
  return wrong != 0 || grandchild < 0 || status != 0;
}

int main(int count, char** words) {
  const char* what = Word(count, words, 1);
  const char* when = Word(count, words, 2);
  const size_t bytes = Is(when, "small") ? kMiB : Number(count, words, 3) * kMiB;
  if (Is(when, "small") || Is(when, "early")) GiveUp(what);
  char* set = MapSet(bytes, 1);
  if (!Is(when, "small")) AwaitEviction(set, bytes);
  if (Is(when, "late")) GiveUp(what);
  size_t wrong = 0;
  for (int i = 0; i < kChildren; ++i) {
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) Fail("fork failed");
    if (child == 0) _exit(Child(set, bytes));
    int status = 0;
    waitpid(child, &status, 0);
    printf("child %d: status %#x\n", i, status);
  }
  wrong += Sweep(set, bytes, 1, 2);
  return Verdict(wrong);
}
