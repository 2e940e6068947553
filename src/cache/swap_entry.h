// SwapEntry: the name of a page, independent of its address and of where its content lies.
//
//    63          36 35                     0
//   +--------------+------------------------+
//   |     area     |     offset in pages    |     EntryKey, never 0 (areas count from 1)
//   +--------------+------------------------+
//
// An area is a set of pages with one life: a region, a mapping, a device. Persistent areas give
// back every page that was stored until it is invalidated; ephemeral ones may lose pages.
#ifndef UZSWAP_CACHE_SWAP_ENTRY_H_
#define UZSWAP_CACHE_SWAP_ENTRY_H_

#include <cstdint>

#include "base/check.h"

namespace uzswap {

using AreaId = uint32_t;
inline constexpr AreaId kNoArea = 0;

struct SwapEntry {
  AreaId area = kNoArea;
  uint64_t offset = 0;
  friend constexpr bool operator==(const SwapEntry&, const SwapEntry&) = default;
};

class EntryKey {
 public:
  static constexpr int kOffsetBits = 36;
  static constexpr int kAreaBits = 28;
  static constexpr uint64_t kOffsetMax = (uint64_t{1} << kOffsetBits) - 1;

  constexpr EntryKey() = default;
  constexpr explicit EntryKey(SwapEntry entry)
      : raw_(uint64_t{entry.area} << kOffsetBits | entry.offset) {
    UZ_DCHECK(entry.area != kNoArea && entry.offset <= kOffsetMax);
  }
  static constexpr EntryKey FromRaw(uint64_t raw) {
    EntryKey key;
    key.raw_ = raw;
    return key;
  }
  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr AreaId area() const { return static_cast<AreaId>(raw_ >> kOffsetBits); }
  [[nodiscard]] constexpr uint64_t offset() const { return raw_ & kOffsetMax; }
  friend constexpr bool operator==(EntryKey, EntryKey) = default;

 private:
  uint64_t raw_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_SWAP_ENTRY_H_
