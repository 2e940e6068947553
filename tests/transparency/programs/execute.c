// execute HOW MIB: fills a set and executes itself, which has to begin with nothing of it: from the
// main thread (main) or from another one (thread) while others sweep. HOW "again" is the new image.
#include <pthread.h>

#include "working_set.h"

static char* g_set;
static size_t g_bytes;
static char** g_words;

static void* SweepForEver(void* unused) {
  for (;;) {
    if (Check(g_set, g_bytes, 1) != 0) Fail("the old image is wrong");
  }
  return unused;
}

static void* Execute(void* unused) {
  char* const words[] = {g_words[0], "again", g_words[2], NULL};
  execv(g_words[0], words);
  Fail("execv failed");
  return unused;
}

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  g_words = words;
  g_bytes = Number(count, words, 2) * kMiB;
  g_set = MapSet(g_bytes, Is(how, "again") ? 2 : 1);
  AwaitEviction(g_set, g_bytes);
  if (Is(how, "again")) return Verdict(Sweep(g_set, g_bytes, 2, 2));
  pthread_t other;
  pthread_create(&other, NULL, SweepForEver, NULL);
  if (Is(how, "main")) Execute(NULL);
  pthread_create(&other, NULL, Execute, NULL);
  pause();
  return 1;
}
