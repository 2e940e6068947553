// sparse slots GIB MIB: one reservation of GIB in eight slots, each used at its beginning only. A
// slot is reset with one madvise(MADV_DONTNEED) over all of it, and used again.
//
// sparse stride PAGES MIB: one reservation of which one page in PAGES is used.
//
// sparse guarded GIB MIB: as slots, but what is not used is inaccessible.
#include "working_set.h"

enum { kSlots = 8, kRounds = 12 };

static size_t Slots(size_t gib, size_t bytes, int guarded) {
  const size_t slot = (gib << 30) / kSlots;
  const size_t used = bytes / kSlots;
  char* base = Map(slot * kSlots, guarded ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_NORESERVE);
  uint64_t seeds[kSlots];
  size_t absent = 0;
  for (size_t i = 0; i < kSlots; ++i) {
    if (guarded && mprotect(base + i * slot, used, PROT_READ | PROT_WRITE) != 0) Fail("mprotect");
    seeds[i] = i;
    Fill(base + i * slot, used, i);
  }
  const double start = Now();
  while (UnderLimit() && absent < bytes / kPage / 4) {
    absent = 0;
    for (size_t i = 0; i < kSlots; ++i) absent += AbsentPages(base + i * slot, used);
    PauseOrFail(start, "no page of the slots was swapped out");
  }
  size_t wrong = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    const size_t i = round % kSlots;
    char* at = base + i * slot;
    wrong += Check(at, used, seeds[i]);
    if (madvise(at, slot, MADV_DONTNEED) != 0) Fail("madvise failed");
    for (size_t k = 0; k < used; k += 512) wrong += at[k] != 0;
    seeds[i] = 100 + round;
    Fill(at, used, seeds[i]);
  }
  for (size_t i = 0; i < kSlots; ++i) wrong += Check(base + i * slot, used, seeds[i]);
  return wrong;
}

static size_t Scattered(size_t stride, size_t bytes) {
  const size_t pages = bytes / kPage;
  char* base = Map(pages * stride * kPage, PROT_READ | PROT_WRITE, MAP_NORESERVE);
  for (size_t p = 0; p < pages; ++p) FillPage(base + p * stride * kPage, 1, p);
  const double start = Now();
  size_t absent = 0;
  while (UnderLimit() && absent < pages / 4) {
    absent = 0;
    for (size_t p = 0; p < pages; ++p) absent += AbsentPages(base + p * stride * kPage, kPage);
    PauseOrFail(start, "no page was swapped out");
  }
  size_t wrong = 0;
  for (int round = 0; round < 2; ++round) {
    for (size_t p = 0; p < pages; ++p) {
      wrong += (size_t)IsWrong(base + p * stride * kPage, 1, p);
    }
  }
  return wrong;
}

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  const size_t number = Number(count, words, 2);
  const size_t bytes = Number(count, words, 3) * kMiB;
  if (Is(how, "stride")) return Verdict(Scattered(number, bytes));
  return Verdict(Slots(number, bytes, Is(how, "guarded")));
}
