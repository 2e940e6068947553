// HeapBag: blocks of all sizes from the C library's heap, each with known content.
//
// malloc, calloc (expects zeroes), realloc (expects the prefix) and free, small and large, so
// that the pager handles the brk heap, the per-thread arenas and malloc's own mappings.
#ifndef UZSWAP_TESTS_SYSTEM_CHURN_HEAP_BAG_H_
#define UZSWAP_TESTS_SYSTEM_CHURN_HEAP_BAG_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace uzswap::churn {

class HeapBag {
 public:
  HeapBag(uint32_t thread, size_t bytes_max, Rng& rng)
      : rng_(rng), bytes_max_(bytes_max), tag_base_(uint64_t{thread} << 48) {}
  HeapBag(const HeapBag&) = delete;
  HeapBag& operator=(const HeapBag&) = delete;
  ~HeapBag();

  void Step();  // one random operation on one block or a few
  void VerifySome(size_t blocks);
  void VerifyAll(const char* where) const;

 private:
  struct Block {
    std::byte* data;
    size_t size;
    uint64_t tag;
  };

  [[nodiscard]] size_t RandomSize();
  void Allocate();
  void Reallocate(Block& block);
  void Release(size_t index);
  static void Verify(const Block& block, const char* where);

  Rng& rng_;
  size_t bytes_max_;
  uint64_t tag_base_;
  uint64_t tags_ = 0;
  size_t bytes_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace uzswap::churn

#endif  // UZSWAP_TESTS_SYSTEM_CHURN_HEAP_BAG_H_
