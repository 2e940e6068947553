// remap HOW MIB: unmaps and moves what was one mapping before uzswap registered a part of it.
//
//   grow       after eviction, adds pages behind the set, then moves both with one mremap call
//   move       moves the set to another place (MREMAP_FIXED) and checks it there
//   shrink     mremap to half, then to the whole size again: the second half reads zeroes
//   keep       mremap with MREMAP_DONTUNMAP: the old place reads zeroes
//   punch      unmaps every other part of the set with single calls, then all the rest with one
//   cross      one munmap over the end of one set and the beginning of the next one
#include <sys/syscall.h>

#include "working_set.h"

enum { kPart = 64 * kPage };

static char* g_set;
static size_t g_bytes;

static size_t Zeroes(const char* at, size_t bytes) {
  size_t wrong = 0;
  for (size_t i = 0; i < bytes; i += 64) wrong += at[i] != 0;
  return wrong;
}

static void Moved(const void* at) {
  if (at == MAP_FAILED) Fail("mremap failed");
}

static void MapAt(char* at, size_t bytes) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) != at) Fail("the place is taken");
}

static size_t Grow(void) {
  MapAt(g_set + g_bytes, g_bytes / 4);
  Fill(g_set + g_bytes, g_bytes / 4, 2);
  char* moved = mremap(g_set, g_bytes + g_bytes / 4, g_bytes * 2, MREMAP_MAYMOVE);
  Moved(moved);
  return Sweep(moved, g_bytes, 1, 2) + Sweep(moved + g_bytes, g_bytes / 4, 2, 2);
}

static size_t Move(void) {
  char* target = Map(g_bytes, PROT_READ | PROT_WRITE, 0);
  Fill(target, kPart, 3);
  Moved(mremap(g_set, g_bytes, g_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target));
  return Sweep(target, g_bytes, 1, 2);
}

static size_t Shrink(void) {
  Moved(mremap(g_set, g_bytes, g_bytes / 2, 0));
  size_t wrong = Check(g_set, g_bytes / 2, 1);
  char* grown = mremap(g_set, g_bytes / 2, g_bytes, MREMAP_MAYMOVE);
  Moved(grown);
  wrong += Zeroes(grown + g_bytes / 2, g_bytes / 2);
  Fill(grown + g_bytes / 2, g_bytes / 2, 2);
  return wrong + Sweep(grown, g_bytes / 2, 1, 2) + Sweep(grown + g_bytes / 2, g_bytes / 2, 2, 2);
}

static size_t Keep(void) {
  // Older C libraries do not pass the fifth argument on, which the kernel reads for this flag.
  const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
  char* moved = (char*)syscall(SYS_mremap, g_set, g_bytes, g_bytes, flags, NULL);
  Moved(moved);
  size_t wrong = Zeroes(g_set, g_bytes) + Check(moved, g_bytes, 1);
  munmap(g_set, g_bytes);
  return wrong + Sweep(moved, g_bytes, 1, 2);
}

static size_t Punch(void) {
  size_t wrong = 0;
  for (size_t at = 0; at < g_bytes; at += 2 * kPart) munmap(g_set + at, kPart);
  for (size_t at = kPart; at < g_bytes; at += 2 * kPart) {
    for (size_t p = at / kPage; p < (at + kPart) / kPage; ++p) {
      wrong += (size_t)IsWrong(g_set + p * kPage, 1, p);
    }
  }
  if (munmap(g_set, g_bytes) != 0) Fail("munmap failed");
  return wrong;
}

static size_t Cross(void) {
  MapAt(g_set + g_bytes, g_bytes / 2);
  Fill(g_set + g_bytes, g_bytes / 2, 2);
  if (munmap(g_set + g_bytes / 2, g_bytes * 3 / 4) != 0) Fail("munmap failed");
  size_t wrong = Check(g_set, g_bytes / 2, 1);
  const size_t left = g_bytes / 4;
  char* rest = g_set + g_bytes + left;
  for (size_t p = 0; p < left / kPage; ++p) {
    wrong += (size_t)IsWrong(rest + p * kPage, 2, left / kPage + p);
  }
  MapAt(g_set + g_bytes / 2, kPart);
  return wrong + Zeroes(g_set + g_bytes / 2, kPart);
}

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  g_bytes = Number(count, words, 2) * kMiB;
  // Far from where the kernel places mappings: nobody else maps behind the set.
  g_set = (char*)0x200000000000;
  MapAt(g_set, g_bytes);
  Fill(g_set, g_bytes, 1);
  AwaitEviction(g_set, g_bytes);
  if (Is(how, "grow")) return Verdict(Grow());
  if (Is(how, "move")) return Verdict(Move());
  if (Is(how, "shrink")) return Verdict(Shrink());
  if (Is(how, "keep")) return Verdict(Keep());
  if (Is(how, "punch")) return Verdict(Punch());
  if (Is(how, "cross")) return Verdict(Cross());
  Fail("unknown: %s", how);
}
