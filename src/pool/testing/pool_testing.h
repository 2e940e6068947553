// For tests, benchmarks and tools: makes any kind of pool by name.
#ifndef UZSWAP_POOL_TESTING_POOL_TESTING_H_
#define UZSWAP_POOL_TESTING_POOL_TESTING_H_

#include <memory>
#include <string>

#include "pool/handle_pool.h"
#include "pool/zbud_pool.h"
#include "pool/zsmalloc_pool.h"

namespace uzswap {

enum class PoolVariant : uint8_t { kZbud, kZsmalloc4, kZsmalloc8, kZsmalloc16 };
inline constexpr PoolVariant kAllPoolVariants[] = {
    PoolVariant::kZbud, PoolVariant::kZsmalloc4, PoolVariant::kZsmalloc8, PoolVariant::kZsmalloc16};

inline std::string NameOf(PoolVariant kind) {
  switch (kind) {
    case PoolVariant::kZbud:
      return "zbud";
    case PoolVariant::kZsmalloc4:
      return "zsmalloc4";
    case PoolVariant::kZsmalloc8:
      return "zsmalloc8";
    case PoolVariant::kZsmalloc16:
      return "zsmalloc16";
  }
  return "?";
}

// nullptr if the kernel grants no address space.
inline std::unique_ptr<HandlePool> MakePool(PoolVariant kind, const PoolOptions& options) {
  if (kind == PoolVariant::kZbud) {
    auto pool = std::make_unique<ZbudPool>();
    if (!pool->Init(options).ok()) return nullptr;
    return pool;
  }
  const uint32_t chain = kind == PoolVariant::kZsmalloc4   ? 4
                         : kind == PoolVariant::kZsmalloc8 ? 8
                                                           : 16;
  auto pool = std::make_unique<ZsmallocPool>();
  if (!pool->Init({.pool = options, .chain = chain}).ok()) return nullptr;
  return pool;
}

}  // namespace uzswap

#endif  // UZSWAP_POOL_TESTING_POOL_TESTING_H_
