// SwapEntry: identifies a page, independent of its address and of where its content is.
//
//    63          36 35                     0
//   +--------------+------------------------+
//   |     area     |     offset in pages    |     EntryKey, never 0 (areas count from 1)
//   +--------------+------------------------+
//
// An area is a set of pages that are created and destroyed together: a program, a mapping, a
// device. In a persistent area every stored page can be loaded until it is invalidated; pages of an
// ephemeral area may be dropped.
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
