// plain MIB [SWEEPS]: fills a set, waits for eviction, checks it. What is special about it is how
// it is started.
#include "working_set.h"

int main(int count, char** words) {
  const size_t bytes = Number(count, words, 1) * kMiB;
  const int sweeps = count > 2 ? atoi(words[2]) : 2;
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  return Verdict(Sweep(set, bytes, 1, sweeps));
}
