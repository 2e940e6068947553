// sweeper MIB: makes the file "ready" when pages were swapped out, then checks its set again and
// again until there is a file "end". Somebody else sends signals meanwhile.
#include <fcntl.h>

#include "working_set.h"

int main(int count, char** words) {
  const size_t bytes = Number(count, words, 1) * kMiB;
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  if (open("ready", O_WRONLY | O_CREAT, 0600) < 0) Fail("ready: cannot be made");
  size_t wrong = 0;
  do {
    wrong += Check(set, bytes, 1);
  } while (access("end", F_OK) != 0);
  return Verdict(wrong);
}
