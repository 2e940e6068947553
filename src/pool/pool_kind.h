// PoolKind: the implementations of Pool, by name.
//
//   kZsmalloc   objects of any size, packed by size class   denser; a move costs more
//   kZbud       at most two objects in a frame              simple; two frees empty a frame
//
// The values are written into memory that a tree of processes shares. They must never change.
#ifndef UZSWAP_POOL_POOL_KIND_H_
#define UZSWAP_POOL_POOL_KIND_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace uzswap {

enum class PoolKind : uint32_t { kZsmalloc = 0, kZbud = 1 };

constexpr const char* Name(PoolKind kind) {
  switch (kind) {
    case PoolKind::kZsmalloc:
      return "zsmalloc";
    case PoolKind::kZbud:
      return "zbud";
  }
  return "unknown";
}

constexpr std::optional<PoolKind> PoolKindByName(std::string_view name) {
  for (const PoolKind kind : {PoolKind::kZsmalloc, PoolKind::kZbud}) {
    if (name == Name(kind)) return kind;
  }
  return std::nullopt;
}

}  // namespace uzswap

#endif  // UZSWAP_POOL_POOL_KIND_H_
