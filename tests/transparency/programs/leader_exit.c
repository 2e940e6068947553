// leader_exit WHEN MIB: the main thread ends by pthread_exit, before there is a set (early) or
// after pages were swapped out (late). Another thread then fills more memory and ends the process.
#include <pthread.h>

#include "working_set.h"

enum { kParts = 8 };

static size_t g_bytes;
static void* g_early_set;

static char StateOfLeader(void) {
  char text[512] = "";
  FILE* file = fopen("/proc/self/stat", "r");
  if (file == NULL) return '?';
  const size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = '\0';
  const char* end = strrchr(text, ')');
  return end != NULL ? end[2] : '?';
}

static void* Work(void* unused) {
  (void)unused;
  const double start = Now();
  while (StateOfLeader() != 'Z') PauseOrFail(start, "the main thread does not end");
  char* set = Map(g_bytes, PROT_READ | PROT_WRITE, 0);
  const size_t part = g_bytes / kParts;
  size_t wrong = 0;
  for (uint64_t i = 0; i < kParts; ++i) Fill(set + i * part, part, i);
  AwaitEviction(set, g_bytes);
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 0; i < kParts; ++i) wrong += Check(set + i * part, part, i);
  }
  if (g_early_set != NULL) wrong += Check(g_early_set, g_bytes, 50);
  exit(Verdict(wrong));
}

int main(int count, char** words) {
  const int late = Is(Word(count, words, 1), "late");
  g_bytes = Number(count, words, 2) * kMiB;
  if (late) {
    g_early_set = MapSet(g_bytes, 50);
    AwaitEviction(g_early_set, g_bytes);
  }
  pthread_t worker;
  pthread_create(&worker, NULL, Work, NULL);
  pthread_exit(NULL);
}
