// For tests, benchmarks and tools: every kind of pool by name.
#ifndef UZSWAP_POOL_POOL_TESTING_H_
#define UZSWAP_POOL_POOL_TESTING_H_

#include <memory>
#include <string>

#include "pool/pool.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"

namespace uzswap {

enum class PoolKind : uint8_t { kZbud, kZsmalloc4, kZsmalloc8, kZsmalloc16 };
inline constexpr PoolKind kAllPoolKinds[] = {PoolKind::kZbud, PoolKind::kZsmalloc4,
                                             PoolKind::kZsmalloc8, PoolKind::kZsmalloc16};

inline std::string NameOf(PoolKind kind) {
  switch (kind) {
    case PoolKind::kZbud:
      return "zbud";
    case PoolKind::kZsmalloc4:
      return "zsmalloc4";
    case PoolKind::kZsmalloc8:
      return "zsmalloc8";
    case PoolKind::kZsmalloc16:
      return "zsmalloc16";
  }
  return "?";
}

// nullptr if the kernel grants no address space.
inline std::unique_ptr<Pool> MakePool(PoolKind kind, const PoolOptions& options) {
  if (kind == PoolKind::kZbud) {
    auto pool = std::make_unique<ZbudPool>();
    if (!pool->Init(options).ok()) return nullptr;
    return pool;
  }
  const uint32_t chain = kind == PoolKind::kZsmalloc4 ? 4 : kind == PoolKind::kZsmalloc8 ? 8 : 16;
  auto pool = std::make_unique<ZsmallocPool>();
  if (!pool->Init({.pool = options, .chain = chain}).ok()) return nullptr;
  return pool;
}

}  // namespace uzswap

#endif  // UZSWAP_POOL_POOL_TESTING_H_
