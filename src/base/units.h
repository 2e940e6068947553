// Units: types for quantities, indices and address ranges, so that they cannot be mixed up.
//
//   Bytes         a size in bytes
//   PageCount     a number of 4 KiB pages
//   FrameId       the number of a frame in an arena. It is not an address: descriptors of frames
//                 are out of line, and a frame's memory may be inaccessible until it is pinned.
//   PageIndex     the index of an entry in the page table. Neighbouring pages of one registered
//                 range have neighbouring indices.
//   SwapSlot      the number under which the compressed cache stores a page of the program
//   AddressRange  [start, end), addresses in bytes
//
//        start                    end
//          |------- size() --------|          empty() when start == end
//
// Only meaningful operators exist. Subtraction checks for underflow, and PageIndex + pages checks
// for overflow. FrameId, PageIndex and SwapSlot are invalid until a value is assigned.
// All are trivially copyable and have no run-time cost. raw() is for printing, for array subscripts
// and for system calls.
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
// PagesWithin rounds down to whole pages, PagesCovering rounds up.
constexpr PageCount PagesWithin(Bytes bytes) { return PageCount(bytes.raw() >> kPageShift); }
constexpr PageCount PagesCovering(Bytes bytes) {
  return PageCount((bytes.raw() + kPageSize - 1) >> kPageShift);
}
constexpr uint64_t RoundDownToPage(uint64_t value) { return value & ~(kPageSize - 1); }
constexpr uint64_t RoundUpToPage(uint64_t value) { return RoundDownToPage(value + kPageSize - 1); }

namespace internal {

// An identifier of 32 bits. The largest value means "none".
template <typename Tag>
class Identifier {
 public:
  constexpr Identifier() = default;
  constexpr explicit Identifier(uint32_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr uint32_t raw() const { return raw_; }
  [[nodiscard]] constexpr bool valid() const { return raw_ != kNone; }
  friend constexpr auto operator<=>(Identifier, Identifier) = default;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t raw_ = kNone;
};

struct FrameTag {};
struct SwapSlotTag {};

}  // namespace internal

using FrameId = internal::Identifier<internal::FrameTag>;
using SwapSlot = internal::Identifier<internal::SwapSlotTag>;

class PageIndex {
 public:
  constexpr PageIndex() = default;
  constexpr explicit PageIndex(uint64_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr bool valid() const { return raw_ != kNone; }
  friend constexpr auto operator<=>(PageIndex, PageIndex) = default;

  // The entry `pages` further on. Requires: `index` is valid, and so is the result.
  friend constexpr PageIndex operator+(PageIndex index, uint64_t pages) {
    UZ_CHECK_LT(pages, kNone - index.raw_);
    return PageIndex(index.raw_ + pages);
  }
  // The number of pages from `b` to `a`. Requires: both are valid, a >= b.
  friend constexpr uint64_t operator-(PageIndex a, PageIndex b) {
    UZ_CHECK_GE(a.raw_, b.raw_);
    UZ_CHECK(a.valid());
    return a.raw_ - b.raw_;
  }
  constexpr PageIndex& operator++() { return *this = *this + 1; }

 private:
  static constexpr uint64_t kNone = UINT64_MAX;
  uint64_t raw_ = kNone;
};

// Requires: start <= end. pages() and whole-page users require page-aligned bounds.
struct AddressRange {
  uint64_t start = 0;
  uint64_t end = 0;

  [[nodiscard]] constexpr bool empty() const { return start == end; }
  [[nodiscard]] constexpr Bytes size() const { return Bytes(end) - Bytes(start); }
  [[nodiscard]] constexpr PageCount pages() const {
    UZ_DCHECK_EQ((start | end) & (kPageSize - 1), 0u);
    return PagesWithin(size());
  }
  [[nodiscard]] constexpr bool Contains(uint64_t address) const {
    return start <= address && address < end;
  }
  // Every address of `other` is in this range. An empty range is in every range.
  [[nodiscard]] constexpr bool Contains(AddressRange other) const {
    return other.empty() || (start <= other.start && other.end <= end);
  }
  // The addresses in both. Empty, at address 0, when there are none.
  [[nodiscard]] constexpr AddressRange Intersect(AddressRange other) const {
    const uint64_t from = start > other.start ? start : other.start;
    const uint64_t to = end < other.end ? end : other.end;
    return from < to ? AddressRange{from, to} : AddressRange{};
  }
  friend constexpr bool operator==(AddressRange, AddressRange) = default;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_UNITS_H_
