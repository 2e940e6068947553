#include "engine/pool_holder.h"

namespace uzswap {
namespace {

// A page compresses to a tenth at best; beyond that the handles run out, which is an outcome.
constexpr uint64_t kObjectsPerFrame = 10;

}  // namespace

Result<void> PoolHolder::Init(PoolKind kind, Bytes limit) {
  static_cast<void>(kind);
  const PageCount frames = PagesCovering(limit);
  Result<void> done = arena_.Init({.capacity = frames, .access = FrameAccess::kAlways});
  if (!done.ok()) return done;
  return zbud_.Init({.arena = &arena_, .max_objects = frames.raw() * kObjectsPerFrame});
}

}  // namespace uzswap
