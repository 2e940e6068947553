// PoolHolder: the arena and the pool that the options name, without a heap to put them on.
#ifndef UZSWAP_ENGINE_POOL_HOLDER_H_
#define UZSWAP_ENGINE_POOL_HOLDER_H_

#include <optional>

#include "base/result.h"
#include "frame/frame_arena.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"
#include "session/options.h"

namespace uzswap {

class PoolHolder {
 public:
  // A page compresses to a tenth at best; beyond that the handles run out, which is an outcome.
  static constexpr uint64_t kObjectsPerFrame = 10;

  // Once. Room for as many frames as `limit` has pages: the budget, not the arena, is the bound.
  Result<void> Init(PoolKind kind, Bytes limit);

  // Requires: Init.
  Pool& pool() {
    if (zbud_) return *zbud_;
    return *zsmalloc_;
  }
  FrameArena& arena() { return arena_; }

 private:
  FrameArena arena_;
  std::optional<ZbudPool> zbud_;
  std::optional<ZsmallocPool> zsmalloc_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_POOL_HOLDER_H_
