// FrameBitmap: a set of frame numbers that finds its lowest member and its runs quickly.
//
//     summary   1 . . 1 . .          one bit for each word below that is not zero
//               |     |
//     words     [64]  [64] ...       one bit for each frame
//
// Invariants: a summary bit is set exactly if its word is not zero; count() is the number of
// set bits. The lowest member is found in a scan of the summary, 4,096 frames a word.
//
// Not synchronised: the arena's lock guards it. Never allocates after Create. No references
// are handed out.
#ifndef UZSWAP_FRAME_FRAME_BITMAP_H_
#define UZSWAP_FRAME_FRAME_BITMAP_H_

#include <cstddef>
#include <cstdint>

#include "os/virtual_array.h"

namespace uzswap {

class FrameBitmap {
 public:
  struct Run {
    size_t first = 0;
    size_t count = 0;  // 0: none
  };

  FrameBitmap() = default;
  Result<void> Init(size_t bits);

  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] bool Test(size_t bit) const { return ((words_[bit / 64] >> (bit % 64)) & 1) != 0; }
  // Requires: the bit is clear / set.
  void Set(size_t bit);
  void Clear(size_t bit);
  // Requires: count() == 0.
  void SetAll();
  // How many of the bits [first, first + count) are set.
  [[nodiscard]] size_t CountIn(size_t first, size_t count) const;
  // Requires: count() > 0.
  [[nodiscard]] size_t Lowest() const;
  // The highest run of at least `at_least` members that lies wholly below `below`, cut to its
  // highest `at_most` members.
  [[nodiscard]] Run HighestRunBelow(size_t below, size_t at_least, size_t at_most) const;
  void Audit() const;

 private:
  os::VirtualArray<uint64_t> words_;
  os::VirtualArray<uint64_t> summary_;
  size_t bits_ = 0;
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_FRAME_BITMAP_H_
