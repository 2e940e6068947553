// holes map|move MIB: the program unmaps a part of its memory and maps it again at the same address
// after pages were swapped out. It has one thread, so it knows that the hole is still free.
//   map   the part is unmapped, and comes back by mmap with MAP_FIXED
//   move  its pages are moved away by mremap, and come back by mremap
#include "working_set.h"

enum { kHole = 24 * kMiB, kAround = 4 * kMiB };

static void* MoveTo(void* from, void* to) {
  void* moved = mremap(from, kHole, kHole, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  if (moved != to) Fail("mremap failed");
  return moved;
}

int main(int count, char** words) {
  if (count < 3) Fail("holes map|move MIB");
  const int moves = strcmp(words[1], "move") == 0;
  char* area = Map(kHole + 2 * kAround, PROT_NONE, MAP_NORESERVE);
  char* hole = area + kAround;
  if (mprotect(hole, kHole, PROT_READ | PROT_WRITE) != 0) Fail("mprotect failed");
  Fill(hole, kHole, 2);
  void* elsewhere = NULL;
  if (moves) {
    elsewhere = MoveTo(hole, Map(kHole, PROT_NONE, MAP_NORESERVE));
  } else if (munmap(hole, kHole) != 0) {
    Fail("munmap failed");
  }
  const size_t bytes = Number(count, words, 2) * kMiB;
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  if (moves) {
    MoveTo(elsewhere, hole);
  } else {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(hole, kHole, PROT_READ | PROT_WRITE, flags, -1, 0) != hole) Fail("mmap failed");
    Fill(hole, kHole, 2);
  }
  const size_t wrong = Check(hole, kHole, 2);
  return Verdict(wrong + Sweep(set, bytes, 1, 2));
}
