// lock_all MODE MIB: locks its memory with mlockall, before its set exists (first) or after pages
// were swapped out (late).
//
//   current-late   future-first   future-late   onfault-first   onfault-late   unlocked
//
// unlocked: locks everything late, unlocks it, and from then on has to stay within its limit.
#include "working_set.h"

static void Lock(int flags) {
  if (mlockall(flags) != 0) Fail("mlockall(%d) failed", flags);
}

int main(int count, char** words) {
  const char* mode = Word(count, words, 1);
  const size_t bytes = Number(count, words, 2) * kMiB;
  if (Is(mode, "future-first")) Lock(MCL_CURRENT | MCL_FUTURE);
  if (Is(mode, "onfault-first")) Lock(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  void* set = MapSet(bytes, 1);
  if (strstr(mode, "-first") == NULL) AwaitEviction(set, bytes);
  if (Is(mode, "current-late")) Lock(MCL_CURRENT);
  if (Is(mode, "future-late")) Lock(MCL_CURRENT | MCL_FUTURE);
  if (Is(mode, "onfault-late")) Lock(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  if (Is(mode, "unlocked")) {
    Lock(MCL_CURRENT);
    munlockall();
    AwaitEviction(set, bytes);
  }
  void* second = MapSet(bytes / 2, 2);
  // Where nothing is evicted, nothing is waited for, and a few passes end before uzswap has told.
  const int passes = Is(mode, "unlocked") ? 2 : 60;
  size_t wrong = Sweep(set, bytes, 1, passes) + Sweep(second, bytes / 2, 2, 2);
  return Verdict(wrong);
}
