// PoolHolder: the arena and the pool that the options name, without a heap to put them on.
#ifndef UZSWAP_ENGINE_POOL_HOLDER_H_
#define UZSWAP_ENGINE_POOL_HOLDER_H_

#include "base/result.h"
#include "engine/options.h"
#include "frame/frame_arena.h"
#include "pool/zbud_pool.h"

namespace uzswap {

class PoolHolder {
 public:
  // Once. Room for as many frames as `limit` has pages: the budget, not the arena, is the bound.
  Result<void> Init(PoolKind kind, Bytes limit);

  Pool& pool() { return zbud_; }
  FrameArena& arena() { return arena_; }

 private:
  FrameArena arena_;
  ZbudPool zbud_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_POOL_HOLDER_H_
