// VirtualArray<T>: an array with a fixed capacity. It is zero at the start and uses memory only for
// the pages that were touched.
//
// Reserves address space for `capacity` elements in a Mapping. The kernel populates zero pages at
// the first touch. Elements never move, so references stay valid for the array's lifetime. The
// array never grows, so paths that must not allocate can use it. An element of zero bytes must be a
// valid T. Elements are neither constructed nor destroyed.
#ifndef UZSWAP_OS_VIRTUAL_ARRAY_H_
#define UZSWAP_OS_VIRTUAL_ARRAY_H_

#include <type_traits>
#include <utility>

#include "os/mapping.h"

namespace uzswap::os {

template <typename T>
class VirtualArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  VirtualArray() = default;

  static Result<VirtualArray> Create(size_t capacity, const char* what) {
    Result<Mapping> mapping = Mapping::Create(Bytes(capacity * sizeof(T)), what);
    if (!mapping.ok()) return mapping.error();
    VirtualArray array;
    array.mapping_ = std::move(mapping).value();
    array.capacity_ = capacity;
    return array;
  }

  [[nodiscard]] size_t capacity() const { return capacity_; }
  T& operator[](size_t index) {
    UZ_DCHECK_LT(index, capacity_);
    return data()[index];
  }
  const T& operator[](size_t index) const {
    UZ_DCHECK_LT(index, capacity_);
    return data()[index];
  }
  [[nodiscard]] T* data() const { return reinterpret_cast<T*>(mapping_.data()); }
  [[nodiscard]] const Mapping& mapping() const { return mapping_; }
  [[nodiscard]] Mapping& mapping() { return mapping_; }

 private:
  Mapping mapping_;
  size_t capacity_ = 0;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_VIRTUAL_ARRAY_H_
