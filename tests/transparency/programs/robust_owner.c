// robust_owner MIB: threads end while they hold robust mutexes, each on a page of its own that has
// not been used for a while. The kernel writes to such a mutex while the thread ends, and does not
// wait for a userfaultfd then. The thread that locks next has to get EOWNERDEAD.
#include <errno.h>
#include <pthread.h>

#include "working_set.h"

enum { kOwners = 8, kApart = 32 * kPage, kSweepsMost = 4 };

static pthread_barrier_t g_locked;
static pthread_barrier_t g_end;
static char* g_pages;

static pthread_mutex_t* MutexOf(size_t owner) { return (void*)(g_pages + owner * kApart); }

static void* Own(void* owner) {
  pthread_mutex_lock(MutexOf((size_t)owner));
  pthread_barrier_wait(&g_locked);
  pthread_barrier_wait(&g_end);
  return NULL;
}

static int MutexesAbsent(void) {
  size_t absent = 0;
  for (size_t i = 0; i < kOwners; ++i) absent += AbsentPages(g_pages + i * kApart, kPage);
  return absent == kOwners;
}

static int LockAfterwards(size_t owner) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += (time_t)(DeadlineSeconds() / 8);  // all of them together
  return pthread_mutex_timedlock(MutexOf(owner), &until);
}

int main(int count, char** words) {
  const size_t bytes = Number(count, words, 1) * kMiB;
  g_pages = Map(kOwners * kApart, PROT_READ | PROT_WRITE, 0);
  pthread_mutexattr_t robust;
  pthread_mutexattr_init(&robust);
  pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
  for (size_t i = 0; i < kOwners; ++i) pthread_mutex_init(MutexOf(i), &robust);
  pthread_barrier_init(&g_locked, NULL, kOwners + 1);
  pthread_barrier_init(&g_end, NULL, kOwners + 1);
  pthread_t owners[kOwners];
  for (size_t i = 0; i < kOwners; ++i) pthread_create(&owners[i], NULL, Own, (void*)i);
  pthread_barrier_wait(&g_locked);

  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  size_t wrong = Check(set, bytes, 1);
  // An engine that keeps the pages of held mutexes in memory never swaps them out.
  for (int i = 0; UnderLimit() && i < kSweepsMost && !MutexesAbsent(); ++i) {
    wrong += Check(set, bytes, 1);
  }
  pthread_barrier_wait(&g_end);
  for (size_t i = 0; i < kOwners; ++i) pthread_join(owners[i], NULL);
  for (size_t i = 0; i < kOwners; ++i) {
    const int error = LockAfterwards(i);
    printf("mutex %zu: %s\n", i, error == EOWNERDEAD ? "its owner died" : strerror(error));
    if (error == ETIMEDOUT) break;
  }
  return Verdict(wrong);
}
