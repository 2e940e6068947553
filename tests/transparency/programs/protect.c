// protect HOW MIB: keeps its set in protections other than readable and writable.
//
//   read-only    the set is read-only after it was filled
//   none         the set is inaccessible; parts become readable while they are checked
//   barrier      a write barrier: read-only, and a SIGSEGV handler makes a page writable
//   executable   readable, writable and executable
#include <signal.h>

#include "working_set.h"

enum { kPart = 16 * kPage, kRounds = 3, kStride = 7 };

static char* g_set;
static size_t g_bytes;
static size_t g_hits;

static void Protect(void* at, size_t bytes, int protection) {
  if (mprotect(at, bytes, protection) != 0) Fail("mprotect failed");
}

static void MakeWritable(int number, siginfo_t* info, void* unused) {
  (void)number;
  (void)unused;
  const size_t offset = (size_t)((char*)info->si_addr - g_set);
  if (offset >= g_bytes) _exit(9);
  if (mprotect(g_set + offset / kPage * kPage, kPage, PROT_READ | PROT_WRITE) != 0) _exit(8);
  ++g_hits;
}

static size_t ReadOnly(void) {
  Protect(g_set, g_bytes, PROT_READ);
  AwaitEviction(g_set, g_bytes);
  return Sweep(g_set, g_bytes, 1, 3);
}

static size_t Inaccessible(void) {
  Protect(g_set, g_bytes, PROT_NONE);
  AwaitEviction(g_set, g_bytes);
  size_t wrong = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t at = 0; at < g_bytes; at += kPart) {
      Protect(g_set + at, kPart, PROT_READ);
      for (size_t p = at / kPage; p < (at + kPart) / kPage; ++p) {
        wrong += (size_t)IsWrong(g_set + p * kPage, 1, p);
      }
      Protect(g_set + at, kPart, PROT_NONE);
    }
  }
  return wrong;
}

// In each round every kStride-th page gets a new content: one hit for each of them.
static size_t Barrier(void) {
  struct sigaction action = {0};
  action.sa_sigaction = MakeWritable;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, NULL);
  const size_t pages = g_bytes / kPage;
  size_t wrong = 0;
  size_t hits = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    Protect(g_set, g_bytes, PROT_READ);
    if (round == 1) AwaitEviction(g_set, g_bytes);
    for (size_t p = 0; p < pages; ++p) {
      const uint64_t seed = p % kStride == 0 ? round + 1 : 1;
      wrong += (size_t)IsWrong(g_set + p * kPage, seed, p);
      if (p % kStride != 0) continue;
      FillPage(g_set + p * kPage, seed + 1, p);
      ++hits;
    }
  }
  printf("%s\n", hits == g_hits ? "one hit for each write" : "the barrier missed writes");
  return wrong + (hits != g_hits);
}

static size_t Executable(void) {
  AwaitEviction(g_set, g_bytes);
  return Sweep(g_set, g_bytes, 1, 3);
}

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  g_bytes = Number(count, words, 2) * kMiB;
  const int execute = Is(how, "executable") ? PROT_EXEC : 0;
  g_set = Map(g_bytes, PROT_READ | PROT_WRITE | execute, 0);
  Fill(g_set, g_bytes, 1);
  if (Is(how, "read-only")) return Verdict(ReadOnly());
  if (Is(how, "none")) return Verdict(Inaccessible());
  if (Is(how, "barrier")) return Verdict(Barrier());
  if (Is(how, "executable")) return Verdict(Executable());
  Fail("unknown: %s", how);
}
