#include "engine/pool_holder.h"

namespace uzswap {

Result<void> PoolHolder::Init(PoolKind kind, Bytes limit) {
  const PageCount frames = PagesCovering(limit);
  Result<void> done = arena_.Init({.capacity = frames, .access = FrameAccess::kAlways});
  if (!done.ok()) return done;
  const PoolOptions options{.arena = &arena_, .max_objects = frames.raw() * kObjectsPerFrame};
  switch (kind) {
    case PoolKind::kZbud:
      return zbud_.emplace().Init(options);
    case PoolKind::kZsmalloc:
      return zsmalloc_.emplace().Init({.pool = options});
  }
  Panic(__FILE__, __LINE__, "a pool of no known kind");
}

}  // namespace uzswap
