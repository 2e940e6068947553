#include "base/mutex.h"

namespace uzswap {

void Mutex::LockContended() {
  // The lock becomes kContended even if this thread gets it: another thread may still sleep, and
  // Unlock must wake it.
  while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
    state_.wait(kContended, std::memory_order_relaxed);
  }
}

#ifndef NDEBUG
namespace internal {
namespace {

constexpr int kHeldMax = 32;
thread_local LockRank t_held[kHeldMax];
thread_local int t_held_count = 0;
thread_local int t_first = 0;  // locks before it are suspended

}  // namespace

void NoteAcquire(LockRank rank) {
  for (int i = t_first; i < t_held_count; ++i) UZ_CHECK_LT(t_held[i], rank);
  UZ_CHECK_LT(t_held_count, kHeldMax);
  t_held[t_held_count++] = rank;
}

void NoteRelease(LockRank rank) {
  for (int i = t_held_count - 1; i >= 0; --i) {
    if (t_held[i] != rank) continue;
    for (int j = i; j + 1 < t_held_count; ++j) t_held[j] = t_held[j + 1];
    --t_held_count;
    return;
  }
  Panic(__FILE__, __LINE__, "the thread released a lock that it does not hold");
}

int SuspendRanks() {
  const int before = t_first;
  t_first = t_held_count;
  return before;
}

void ResumeRanks(int suspended) { t_first = suspended; }

}  // namespace internal
#endif

}  // namespace uzswap
