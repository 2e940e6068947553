// ThreadShard: a small number that stays with a thread, for picking its share of sharded state.
//
//     thread          main   second   third        ninth
//     ThreadShard()     0       1       2     ...    8
//     modulo 8          0       1       2     ...    0: in the way of the main thread, if both work
//
// Threads are numbered as they first ask; `ThreadShard() % n` spreads them evenly over n shards
// and gives one thread the same shard each time, so that its locks and lists stay in its own
// processor's cache. It is a hint about locality only: any thread may use any shard.
//
// Two threads whose numbers are equal modulo n would share a shard for ever, each waiting for the
// other's cache lines while other shards lie idle. So a shard keeps a ShardUser, which knows whose
// it was last. After kThreadShardMeetings that found another thread there, the caller takes the
// next number. Its patience doubles each time: where there are more threads than shards, the
// wandering ends.
//
// Invariant: a thread's number is its alone, unless a ThreadShardScope says otherwise.
#ifndef UZSWAP_BASE_THREAD_SHARD_H_
#define UZSWAP_BASE_THREAD_SHARD_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

namespace uzswap {

namespace internal {

struct ThreadShardState {
  uint32_t number = 0;  // one above the thread's; 0: not numbered yet
  uint32_t meetings = 0;
  uint32_t moves = 0;
};
inline std::atomic<uint32_t> g_next_thread_shard{0};  // only counts: relaxed
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

// The caller's shard was used by another thread since it came here last. True if the caller has
// another number from now on.
inline bool NoteThreadShardMet() {
  constexpr uint32_t kMovesMax = 16;
  internal::ThreadShardState& mine = internal::t_thread_shard;
  if (++mine.meetings < kThreadShardMeetings << std::min(mine.moves, kMovesMax)) return false;
  mine.meetings = 0;
  ++mine.moves;
  mine.number = internal::NextThreadShard();
  return true;
}

// Which thread used a shard last. Not synchronised: the shard's lock guards it.
class ShardUser {
 public:
  // The caller uses the shard as its own. True if that was one meeting too many, and the caller has
  // another shard from now on.
  bool Note() {
    const uint32_t me = ThreadShard() + 1;
    if (__builtin_expect(last_ == me, 1)) return false;
    const bool leaves = last_ != 0 && NoteThreadShardMet();
    // Who leaves is not met again by those who stay.
    last_ = leaves ? 0 : me;
    return leaves;
  }

 private:
  uint32_t last_ = 0;  // one above the thread's number; 0: nobody
};

// For tests and benchmarks: a thread that exists in name only, and the scope in which the calling
// thread is that one. So one real thread can play several, step by step, and real ones can say
// which of them share.
class ThreadShardIdentity {
 public:
  explicit ThreadShardIdentity(uint32_t number) : state_{number + 1, 0, 0} {}
  // Outside of its scopes.
  [[nodiscard]] uint32_t number() const { return state_.number - 1; }

 private:
  friend class ThreadShardScope;
  internal::ThreadShardState state_;
};

class ThreadShardScope {
 public:
  explicit ThreadShardScope(ThreadShardIdentity& identity) : identity_(identity) {
    std::swap(identity_.state_, internal::t_thread_shard);
  }
  ~ThreadShardScope() { std::swap(identity_.state_, internal::t_thread_shard); }
  ThreadShardScope(const ThreadShardScope&) = delete;
  ThreadShardScope& operator=(const ThreadShardScope&) = delete;

 private:
  ThreadShardIdentity& identity_;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_THREAD_SHARD_H_
