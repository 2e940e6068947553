// give_back HOW MIB: gives parts of its set back and uses them again at once, as allocators do.
//
//   free       madvise(MADV_FREE): the kernel may take the pages until they are written to
//   dontneed   madvise(MADV_DONTNEED): the pages read zeroes
//   guard      madvise(MADV_GUARD_INSTALL) on every 16th page, from the start (Linux 6.13)
//   huge       madvise(MADV_HUGEPAGE) before the set is filled
//   collapse   madvise(MADV_COLLAPSE) after pages were swapped out
#include <errno.h>

#include "working_set.h"

enum { kSpan = 256 << 10, kRounds = 3, kGuardEvery = 16 };
enum { kMadvCollapse = 25, kMadvGuardInstall = 102 };

static size_t UseAgain(char* span, int advice, uint64_t seed) {
  size_t wrong = 0;
  if (madvise(span, kSpan, advice) != 0) Fail("madvise failed");
  if (advice == MADV_DONTNEED) {
    for (size_t i = 0; i < kSpan; i += 64) wrong += span[i] != 0;
  }
  Fill(span, kSpan, seed);
  return wrong;
}

static size_t Reuse(char* set, size_t bytes, int advice) {
  const size_t spans = bytes / kSpan;
  size_t wrong = 0;
  for (size_t i = 0; i < spans; ++i) Fill(set + i * kSpan, kSpan, i);
  AwaitEviction(set, bytes);
  for (size_t round = 1; round <= kRounds; ++round) {
    const uint64_t base = 1000 * round;
    for (size_t i = 0; i < spans; ++i) wrong += UseAgain(set + i * kSpan, advice, base + i);
    for (size_t i = 0; i < spans; ++i) wrong += Check(set + i * kSpan, kSpan, base + i);
  }
  // Pages that are used again have to be managed again.
  AwaitEviction(set, bytes);
  for (size_t i = 0; i < spans; ++i) {
    wrong += Check(set + i * kSpan, kSpan, 1000 * kRounds + i);
  }
  return wrong;
}

static size_t Guard(char* set, size_t bytes) {
  for (size_t i = 0; i < bytes; i += kGuardEvery * kPage) {
    if (madvise(set + i, kPage, kMadvGuardInstall) != 0) exit(kStatusUnsupported);
  }
  size_t wrong = 0;
  for (uint64_t round = 0; round < kRounds; ++round) {
    for (size_t p = 0; p < bytes / kPage; ++p) {
      if (p % kGuardEvery == 0) continue;
      char* page = set + p * kPage;
      if (round > 0) wrong += (size_t)IsWrong(page, round - 1, p);
      FillPage(page, round, p);
    }
    AwaitEviction(set, bytes);
  }
  return wrong;
}

static size_t Huge(char* set, size_t bytes) {
  if (madvise(set, bytes, MADV_HUGEPAGE) != 0) exit(kStatusUnsupported);
  Fill(set, bytes, 1);
  AwaitEviction(set, bytes);
  size_t wrong = Sweep(set, bytes, 1, 2);
  Fill(set, bytes, 2);
  return wrong + Sweep(set, bytes, 2, 2);
}

static size_t Collapse(char* set, size_t bytes) {
  Fill(set, bytes, 1);
  AwaitEviction(set, bytes);
  // It may fail for lack of huge pages; the content has to be right in any case.
  if (madvise(set, bytes, kMadvCollapse) != 0 && errno == EINVAL) exit(kStatusUnsupported);
  return Sweep(set, bytes, 1, 3);
}

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  const size_t bytes = Number(count, words, 2) * kMiB;
  char* set = Map(bytes, PROT_READ | PROT_WRITE, 0);
  if (Is(how, "free")) return Verdict(Reuse(set, bytes, MADV_FREE));
  if (Is(how, "dontneed")) return Verdict(Reuse(set, bytes, MADV_DONTNEED));
  if (Is(how, "guard")) return Verdict(Guard(set, bytes));
  if (Is(how, "huge")) return Verdict(Huge(set, bytes));
  if (Is(how, "collapse")) return Verdict(Collapse(set, bytes));
  Fail("unknown: %s", how);
}
