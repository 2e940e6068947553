// VirtualArray<T>: an array with a fixed capacity. It is zero at the start and uses memory only for
// the pages that were touched.
//
//     [ reached elements: accessible | the rest of `capacity`: reserved ]
//
// Reserves address space for `capacity` elements in a Mapping. The kernel populates zero pages at
// the first touch. Elements never move, so references stay valid for the array's lifetime. An
// element of zero bytes must be a valid T. Elements are neither constructed nor destroyed.
//
// Create makes every element accessible. Reserve makes none: Reach makes the first elements
// accessible, by a system call from time to time. Create is for small arrays, and Reserve for
// arrays that are large in case they are needed (os/mapping.h says why).
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
    return From(Mapping::Create(Bytes(capacity * sizeof(T)), what), capacity);
  }
  static Result<VirtualArray> Reserve(size_t capacity, const char* what) {
    return From(Mapping::Reserve(Bytes(capacity * sizeof(T)), what), capacity);
  }
  // Makes the first `count` elements accessible, at most all. False if the kernel refuses. The
  // owner's lock guards it; elements that were reached before can be used meanwhile.
  [[nodiscard]] bool Reach(size_t count) {
    const size_t bytes = (count < capacity_ ? count : capacity_) * sizeof(T);
    return bytes <= mapping_.accessible() || mapping_.MakeAccessible(bytes);
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
  static Result<VirtualArray> From(Result<Mapping> mapping, size_t capacity) {
    if (!mapping.ok()) return mapping.error();
    VirtualArray array;
    array.mapping_ = std::move(mapping).value();
    array.capacity_ = capacity;
    return array;
  }

  Mapping mapping_;
  size_t capacity_ = 0;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_VIRTUAL_ARRAY_H_
