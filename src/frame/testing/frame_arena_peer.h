// FrameArenaPeer: what tests may do to a FrameArena beside its public methods.
#ifndef UZSWAP_FRAME_TESTING_FRAME_ARENA_PEER_H_
#define UZSWAP_FRAME_TESTING_FRAME_ARENA_PEER_H_

#include <atomic>
#include <cstdint>

#include "frame/frame_arena.h"

namespace uzswap {

class FrameArenaPeer {
 public:
  // Makes the nth request for a frame from now fail once (1: the next one; 0: none).
  static void FailNth(FrameArena& arena, uint64_t nth) {
    arena.fail_in_.store(nth, std::memory_order_relaxed);
  }
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_TESTING_FRAME_ARENA_PEER_H_
