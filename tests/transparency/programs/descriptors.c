// descriptors HOW MIB: has no descriptor left but the first three.
//
//   limit    RLIMIT_NOFILE is 3 (the program sets it)
//   close    closes every other descriptor, after pages were swapped out, and forks
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "working_set.h"

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  const size_t bytes = Number(count, words, 2) * kMiB;
  if (Is(how, "limit")) {
    const struct rlimit three = {3, 3};
    if (setrlimit(RLIMIT_NOFILE, &three) != 0) Fail("setrlimit failed");
  }
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  if (Is(how, "close")) {
    closefrom(3);
    // The next descriptor is the first free number: nothing of anybody else is in the table.
    const int next = open("/dev/null", O_RDONLY);
    if (next != 3) Fail("the next descriptor is %d", next);
    const pid_t child = fork();
    if (child == 0) _exit(Check(set, bytes, 1) != 0);
    int status = 0;
    waitpid(child, &status, 0);
    printf("child: status %#x\n", status);
  } else {
    printf("one more descriptor: %s\n", open("/dev/null", O_RDONLY) < 0 ? "refused" : "granted");
  }
  return Verdict(Sweep(set, bytes, 1, 2));
}
