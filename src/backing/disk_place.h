// DiskPlace: where an object is on the backing store, in 50 bits so that it fits an EntryWord.
//
//   49        28 27            13 12          0
//   +-----------+----------------+------------+
//   |  segment  | 8-byte unit in |  payload   |     raw() of no place is 0, because
//   |  22 bits  |  the segment   |   bytes    |     no payload is empty
//   +-----------+----------------+------------+
#ifndef UZSWAP_BACKING_DISK_PLACE_H_
#define UZSWAP_BACKING_DISK_PLACE_H_

#include <compare>
#include <cstdint>

#include "base/check.h"

namespace uzswap {

class DiskPlace {
 public:
  static constexpr int kSizeBits = 13;
  static constexpr int kUnitBits = 15;
  static constexpr int kSegmentBits = 22;
  static constexpr int kBits = kSizeBits + kUnitBits + kSegmentBits;
  static constexpr uint32_t kUnit = 8;

  constexpr DiskPlace() = default;
  constexpr DiskPlace(uint32_t segment, uint32_t offset, uint32_t size)
      : raw_(uint64_t{segment} << (kSizeBits + kUnitBits) | uint64_t{offset / kUnit} << kSizeBits |
             size) {
    UZ_DCHECK(segment < (1u << kSegmentBits) && offset % kUnit == 0);
    UZ_DCHECK(offset / kUnit < (1u << kUnitBits) && size > 0 && size < (1u << kSizeBits));
  }
  static constexpr DiskPlace FromRaw(uint64_t raw) {
    DiskPlace place;
    place.raw_ = raw;
    return place;
  }

  [[nodiscard]] constexpr bool valid() const { return raw_ != 0; }
  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr uint32_t segment() const {
    return static_cast<uint32_t>(raw_ >> (kSizeBits + kUnitBits));
  }
  [[nodiscard]] constexpr uint32_t offset() const {
    return static_cast<uint32_t>(raw_ >> kSizeBits & ((1u << kUnitBits) - 1)) * kUnit;
  }
  [[nodiscard]] constexpr uint32_t size() const {
    return static_cast<uint32_t>(raw_ & ((1u << kSizeBits) - 1));
  }
  friend constexpr bool operator==(DiskPlace, DiskPlace) = default;

 private:
  uint64_t raw_ = 0;
};

static_assert(DiskPlace(3, 4096, 17).segment() == 3 && DiskPlace(3, 4096, 17).offset() == 4096);
static_assert(DiskPlace(3, 4096, 17).size() == 17 && !DiskPlace().valid());
static_assert(DiskPlace((1u << DiskPlace::kSegmentBits) - 1, (1u << 18) - 8, 8191).raw() >>
                  DiskPlace::kBits ==
              0);

}  // namespace uzswap

#endif  // UZSWAP_BACKING_DISK_PLACE_H_
