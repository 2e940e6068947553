// FakeFrameOwner: an owner of frames for tests of the arena.
//
// The tag of a frame is an index into `where`, which names the frame that holds the content now. By
// default the owner moves every frame that is not pinned. If `answer` is not kMoved, it refuses
// with that outcome. `before_move` runs at each request. Single-threaded.
#ifndef UZSWAP_FRAME_TESTING_FAKE_FRAME_OWNER_H_
#define UZSWAP_FRAME_TESTING_FAKE_FRAME_OWNER_H_

#include <cstring>
#include <functional>
#include <vector>

#include "frame/frame_arena.h"

namespace uzswap {

class FakeFrameOwner : public FrameOwner {
 public:
  explicit FakeFrameOwner(FrameArena& arena) : arena_(arena) {}
  MigrateOutcome TryMigrateFrame(FrameId from, FrameId to) override {
    if (before_move) before_move();
    if (answer != MigrateOutcome::kMoved) return answer;
    if (arena_.pins(from) != 0) return MigrateOutcome::kPinned;
    {
      PinnedFrame source(arena_, from);
      PinnedFrame target(arena_, to);
      std::memcpy(target.data(), source.data(), kPageSize);
    }
    arena_.SetTag(to, arena_.tag(from));
    where[arena_.tag(from)] = to;
    arena_.Free(from);
    return MigrateOutcome::kMoved;
  }

  MigrateOutcome answer = MigrateOutcome::kMoved;
  std::function<void()> before_move;
  std::vector<FrameId> where;

 private:
  FrameArena& arena_;
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_TESTING_FAKE_FRAME_OWNER_H_
