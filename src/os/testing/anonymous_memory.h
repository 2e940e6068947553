// AnonymousMemory: a mapping of its own for a test, between two pages that are not accessible.
#ifndef UZSWAP_OS_TESTING_ANONYMOUS_MEMORY_H_
#define UZSWAP_OS_TESTING_ANONYMOUS_MEMORY_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace uzswap::os {

class AnonymousMemory {
 public:
  explicit AnonymousMemory(size_t pages, int protection = PROT_READ | PROT_WRITE)
      : size_(pages * kPageSize),
        data_(static_cast<char*>(
            mmap(nullptr, size_ + 2 * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    mprotect(data_ + kPageSize, size_, protection);
  }
  AnonymousMemory(const AnonymousMemory&) = delete;
  AnonymousMemory& operator=(const AnonymousMemory&) = delete;
  ~AnonymousMemory() { munmap(data_, size_ + 2 * kPageSize); }
  [[nodiscard]] char* data() const { return data_ + kPageSize; }
  [[nodiscard]] uint64_t start() const { return reinterpret_cast<uint64_t>(data()); }
  [[nodiscard]] uint64_t end() const { return start() + size_; }

 private:
  size_t size_;
  char* data_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_ANONYMOUS_MEMORY_H_
