#include "engine/storage_bounds.h"

#include <algorithm>

namespace uzswap {

Bytes StorageBounds::Share(Bytes bound, Bytes tree, Bytes own, Bytes least) {
  const Bytes others = tree > own ? tree - own : Bytes(0);
  return std::max(bound > others ? bound - others : Bytes(0), least);
}

Bytes StorageBounds::PoolLimit(const PoolParts& parts) {
  const Bytes share = Share(parts.bound, parts.tree, parts.held, kPoolMin);
  const Bytes limit = std::max(share - std::min(share, parts.shared), kPoolMin);
  const Bytes room = parts.arena > parts.uncounted ? parts.arena - parts.uncounted : Bytes(0);
  return std::min(limit, room);
}

bool StorageBounds::Due(uint64_t now_ns) {
  if (now_ns - computed_ns_ < kEveryNs) return false;
  computed_ns_ = now_ns;
  return true;
}

std::optional<Bytes> StorageBounds::DensityTarget(Bytes pool, Bytes limit) {
  const Bytes half(limit.raw() / 2);
  if (pool <= half) {
    asked_ = Bytes(0);
    return std::nullopt;
  }
  if (pool.raw() <= asked_.raw() + asked_.raw() / 16) return std::nullopt;
  asked_ = pool;
  return half;
}

}  // namespace uzswap
