// threads COUNT STACK_KIB MIB: so many threads sleep with content on their stacks while the main
// thread works; then all of them check it and end. STACK_KIB 0 means the usual stack.
#include <pthread.h>

#include "working_set.h"

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_changed = PTHREAD_COND_INITIALIZER;
static int g_end;

static void* Sleep(void* number) {
  unsigned char content[6000];
  const int byte = (int)((size_t)number % 251);
  memset(content, byte, sizeof content);
  __asm__ volatile("" : : "r"(content) : "memory");
  pthread_mutex_lock(&g_mutex);
  while (!g_end) pthread_cond_wait(&g_changed, &g_mutex);
  pthread_mutex_unlock(&g_mutex);
  size_t wrong = 0;
  for (size_t i = 0; i < sizeof content; ++i) wrong += content[i] != byte;
  return (void*)wrong;
}

int main(int count, char** words) {
  const size_t threads = Number(count, words, 1);
  const size_t stack = Number(count, words, 2) * 1024;
  const size_t bytes = Number(count, words, 3) * kMiB;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (stack != 0) pthread_attr_setstacksize(&attributes, stack);
  pthread_t* ids = calloc(threads, sizeof *ids);
  for (size_t i = 0; i < threads; ++i) {
    const int error = pthread_create(&ids[i], &attributes, Sleep, (void*)i);
    if (error != 0) Fail("thread %zu: %s", i, strerror(error));
  }
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  size_t wrong = Sweep(set, bytes, 1, 3);
  pthread_mutex_lock(&g_mutex);
  g_end = 1;
  pthread_cond_broadcast(&g_changed);
  pthread_mutex_unlock(&g_mutex);
  for (size_t i = 0; i < threads; ++i) {
    void* result;
    pthread_join(ids[i], &result);
    wrong += (size_t)result;
  }
  return Verdict(wrong);
}
