#include "limit_calls.h"

namespace uzswap {
namespace {

constexpr uint64_t kMark = 0x5;
constexpr uint64_t kMarkMask = 0x7;
constexpr int kUnitsShift = 3;
constexpr uint64_t kUnitsMask = 0x1ff;
constexpr uint64_t kBelowPage = kPageSize - 1;

}  // namespace

uint64_t WithAllowance(uint64_t limit, uint64_t units) {
  const uint64_t added = units * kLimitUnit;
  if (limit == kNoLimit || limit > kNoLimit - added - kPageSize) return limit;
  return ((limit & ~kBelowPage) + added) | (units << kUnitsShift) | kMark;
}

std::optional<uint64_t> AllowanceOf(uint64_t limit) {
  if (limit == kNoLimit || (limit & kMarkMask) != kMark) return std::nullopt;
  const uint64_t units = (limit >> kUnitsShift) & kUnitsMask;
  // Less is never added, so it is a value of the program's own.
  if (units < LimitUnitsFor(Bytes(0)) || (limit & ~kBelowPage) < units * kLimitUnit)
    return std::nullopt;
  return units;
}

uint64_t WithoutAllowance(uint64_t limit) {
  const std::optional<uint64_t> units = AllowanceOf(limit);
  return units ? (limit & ~kBelowPage) - *units * kLimitUnit : limit;
}

}  // namespace uzswap
