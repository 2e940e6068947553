// fibers COUNT STACK_KIB: fibers, each on a stack mapping of its own with a guard page below. Each
// fills three pages of its stack, switches back to the main context, and checks them when it runs
// again, twice.
#include <ucontext.h>

#include "working_set.h"

enum { kUsed = 3 * kPage, kTurns = 3 };

static ucontext_t g_main;
static ucontext_t* g_fibers;
static char** g_sets;
static size_t g_wrong;

static void Run(int number) {
  uint64_t room[kUsed / 8 + kWords];
  char* set = (char*)(((uintptr_t)room + kPage - 1) / kPage * kPage);
  g_sets[number] = set;
  Fill(set, kUsed, (uint64_t)number);
  for (int turn = 1; turn < kTurns; ++turn) {
    swapcontext(&g_fibers[number], &g_main);
    g_wrong += Check(set, kUsed, (uint64_t)number);
  }
}

int main(int count, char** words) {
  const size_t fibers = Number(count, words, 1);
  const size_t stack = Number(count, words, 2) * 1024;
  g_fibers = calloc(fibers, sizeof *g_fibers);
  g_sets = calloc(fibers, sizeof *g_sets);
  for (size_t i = 0; i < fibers; ++i) {
    char* base = Map(kPage + stack, PROT_READ | PROT_WRITE, MAP_STACK);
    if (mprotect(base, kPage, PROT_NONE) != 0) Fail("no guard page for fiber %zu", i);
    getcontext(&g_fibers[i]);
    g_fibers[i].uc_stack.ss_sp = base + kPage;
    g_fibers[i].uc_stack.ss_size = stack;
    g_fibers[i].uc_link = &g_main;
    makecontext(&g_fibers[i], (void (*)(void))Run, 1, (int)i);
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < fibers; ++i) swapcontext(&g_main, &g_fibers[i]);
    if (turn > 0 || !UnderLimit()) continue;
    const double start = Now();
    size_t absent = 0;
    while (absent < fibers / 4) {
      absent = 0;
      for (size_t i = 0; i < fibers; ++i) absent += AbsentPages(g_sets[i], kPage);
      PauseOrFail(start, "no stack was swapped out");
    }
  }
  return Verdict(g_wrong);
}
