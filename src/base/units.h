// Units: quantities that cannot be confused with one another.
//
//   Bytes      a size in bytes                      PageCount  a number of 4 KiB pages
//   FrameId    the number of a frame in an arena (not an address: frames have descriptors
//              out of line, and their memory may be inaccessible until pinned)
//
// Only meaningful operators exist; subtraction checks for underflow. All are trivially
// copyable, free at run time, and have raw() for printing and for system calls.
#ifndef UZSWAP_BASE_UNITS_H_
#define UZSWAP_BASE_UNITS_H_

#include <compare>
#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace uzswap {

inline constexpr size_t kPageShift = 12;
inline constexpr size_t kPageSize = size_t{1} << kPageShift;
inline constexpr size_t kCacheLineSize = 64;

namespace internal {

template <typename Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(uint64_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }

  friend constexpr auto operator<=>(Quantity, Quantity) = default;
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.raw_ + b.raw_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    UZ_CHECK_GE(a.raw_, b.raw_);
    return Quantity(a.raw_ - b.raw_);
  }
  friend constexpr Quantity operator*(Quantity a, uint64_t factor) {
    return Quantity(a.raw_ * factor);
  }
  constexpr Quantity& operator+=(Quantity other) { return *this = *this + other; }
  constexpr Quantity& operator-=(Quantity other) { return *this = *this - other; }

 private:
  uint64_t raw_ = 0;
};

struct BytesTag {};
struct PageCountTag {};

}  // namespace internal

using Bytes = internal::Quantity<internal::BytesTag>;
using PageCount = internal::Quantity<internal::PageCountTag>;

constexpr Bytes ToBytes(PageCount pages) { return Bytes(pages.raw() << kPageShift); }
// Rounds down / up to whole pages.
constexpr PageCount PagesWithin(Bytes bytes) { return PageCount(bytes.raw() >> kPageShift); }
constexpr PageCount PagesCovering(Bytes bytes) {
  return PageCount((bytes.raw() + kPageSize - 1) >> kPageShift);
}
constexpr uint64_t RoundDownToPage(uint64_t value) { return value & ~(kPageSize - 1); }
constexpr uint64_t RoundUpToPage(uint64_t value) { return RoundDownToPage(value + kPageSize - 1); }

class FrameId {
 public:
  constexpr FrameId() = default;
  constexpr explicit FrameId(uint32_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr uint32_t raw() const { return raw_; }
  [[nodiscard]] constexpr bool valid() const { return raw_ != kNone; }
  friend constexpr auto operator<=>(FrameId, FrameId) = default;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t raw_ = kNone;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_UNITS_H_
