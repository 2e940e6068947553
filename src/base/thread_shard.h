// ThreadShard: a small number of the calling thread, to choose a shard of sharded state.
//
//     thread          main   second   third        ninth
//     ThreadShard()     0       1       2     ...    8
//     modulo 8          0       1       2     ...    0: the same shard as the main thread
//
// A thread gets its number at its first call. `ThreadShard() % n` spreads threads evenly over n
// shards. A thread always gets the same shard, so that the shard's locks and lists stay in the
// cache of its processor. The number is only a hint for locality: any thread may use any shard.
//
// Two threads whose numbers are equal modulo n share a shard. They would always contend for its
// cache lines, even if other shards are not used. So each shard has a ShardUser, which records
// the thread that used the shard last. When a thread has found another thread there
// kThreadShardMeetings times, it takes the next number. The limit doubles with each change, so the
// changes end even if there are more threads than shards.
//
// Invariant: no two threads have the same number, unless a test sets it (ThreadShardScope).
#ifndef UZSWAP_BASE_THREAD_SHARD_H_
#define UZSWAP_BASE_THREAD_SHARD_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace uzswap {

namespace internal {

struct ThreadShardState {
  uint32_t number = 0;  // the thread's number plus 1; 0: no number yet
  uint32_t meetings = 0;
  uint32_t moves = 0;
};
inline std::atomic<uint32_t> g_next_thread_shard{0};  // relaxed: a counter, it orders nothing
inline constinit thread_local ThreadShardState t_thread_shard{};

inline uint32_t NextThreadShard() {
  return g_next_thread_shard.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace internal

inline uint32_t ThreadShard() {
  uint32_t& mine = internal::t_thread_shard.number;
  if (__builtin_expect(mine == 0, 0)) mine = internal::NextThreadShard();
  return mine - 1;
}

inline constexpr uint32_t kThreadShardMeetings = 16;

// Records that another thread used the caller's shard since the caller's last use. Returns true if
// the caller has a new number now.
inline bool NoteThreadShardMet() {
  constexpr uint32_t kMovesMax = 16;
  internal::ThreadShardState& mine = internal::t_thread_shard;
  if (++mine.meetings < kThreadShardMeetings << std::min(mine.moves, kMovesMax)) return false;
  mine.meetings = 0;
  ++mine.moves;
  mine.number = internal::NextThreadShard();
  return true;
}

// The thread that used a shard last. Not synchronised: the shard's lock guards it.
class ShardUser {
 public:
  // Records that the caller uses the shard. Returns true if the caller has met another thread here
  // too often: the caller has another shard from now on.
  bool Note() {
    const uint32_t me = ThreadShard() + 1;
    if (__builtin_expect(last_ == me, 1)) return false;
    const bool leaves = last_ != 0 && NoteThreadShardMet();
    // A thread that leaves must not count as a meeting for the threads that stay.
    last_ = leaves ? 0 : me;
    return leaves;
  }

 private:
  uint32_t last_ = 0;  // the thread's number plus 1; 0: no thread
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_THREAD_SHARD_H_
