// Handle: the name of a stored object. It does not depend on where the object lies.
//
//      47             32 31                               0
//     +-----------------+----------------------------------+
//     |   generation    |       index in the handle table  |      raw(): 48 bits
//     +-----------------+----------------------------------+
//
// Index 0 is never used, so raw() == 0 means "no object". Freeing an object increments the
// generation of its index. A handle that is used after that is stale. A stale handle is recognised
// until its index has been reused 65,536 times.
#ifndef UZSWAP_POOL_HANDLE_H_
#define UZSWAP_POOL_HANDLE_H_

#include <compare>
#include <cstdint>

namespace uzswap {

class Handle {
 public:
  static constexpr int kBits = 48;

  constexpr Handle() = default;
  constexpr Handle(uint32_t index, uint16_t generation)
      : raw_((uint64_t{generation} << 32) | index) {}
  static constexpr Handle FromRaw(uint64_t raw) {
    return Handle(static_cast<uint32_t>(raw), static_cast<uint16_t>(raw >> 32));
  }
  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr bool valid() const { return raw_ != 0; }
  [[nodiscard]] constexpr uint32_t index() const { return static_cast<uint32_t>(raw_); }
  [[nodiscard]] constexpr uint16_t generation() const { return static_cast<uint16_t>(raw_ >> 32); }
  friend constexpr auto operator<=>(Handle, Handle) = default;

 private:
  uint64_t raw_ = 0;
};

static_assert(Handle(UINT32_MAX, UINT16_MAX).raw() < uint64_t{1} << Handle::kBits);

}  // namespace uzswap

#endif  // UZSWAP_POOL_HANDLE_H_
