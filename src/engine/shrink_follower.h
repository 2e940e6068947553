// ShrinkFollower: whether the tree is still asked to shrink.
//
//   `uzswap shrink`   beat 7 ── 8 ── 9 ── 10             killed: no beat any more
//   this process           8 ─── 9 ───── 10 ──────────────────┤
//                          asked ............. kHeldNs after the last change: not asked
//
// Who asks increases a number, and each process looks by its own clock when the number changed
// last. So nobody compares the clocks of two processes, which can be in different time namespaces,
// and a command that is killed leaves nothing behind. What a process sees at its first look says
// nothing: it may be left from an earlier command. The same holds for the first look after a
// process was stopped for longer than kHeldNs.
//
// Plain arithmetic; one thread: the reclaim daemon.
#ifndef UZSWAP_ENGINE_SHRINK_FOLLOWER_H_
#define UZSWAP_ENGINE_SHRINK_FOLLOWER_H_

#include <cstdint>
#include <optional>

#include "session/session.h"

namespace uzswap {

class ShrinkFollower {
 public:
  // Many times the distance of two beats: commands get the processor late too.
  static constexpr uint64_t kHeldNs = 1'000'000'000;

  // `seen` is the request of the session now.
  void Note(const AskedUsage& seen, uint64_t now_ns) {
    const bool looks = beat_ && now_ns - looked_ns_ <= kHeldNs;
    const bool changed = looks && *beat_ != seen.beat;
    beat_ = seen.beat;
    looked_ns_ = now_ns;
    if (changed) changed_ns_ = now_ns;
    const bool held = changed_ns_ && now_ns - *changed_ns_ < kHeldNs;
    asked_ = held ? seen : AskedUsage{};
  }

  // What the tree is asked to use; zero: nothing is asked.
  [[nodiscard]] Bytes to() const { return asked_.to; }
  // The bound of the pools now. Requires: pages can be written. Else the pools have to grow for the
  // tree to shrink.
  [[nodiscard]] Bytes PoolBound(Bytes limit) const {
    return asked_.to != Bytes(0) && asked_.pool < limit ? asked_.pool : limit;
  }

 private:
  std::optional<uint64_t> beat_;        // at the last look
  uint64_t looked_ns_ = 0;              // when that was
  std::optional<uint64_t> changed_ns_;  // when it was seen to change
  AskedUsage asked_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_SHRINK_FOLLOWER_H_
