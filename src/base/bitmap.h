// Bitmap: a set of small numbers. It finds its lowest member and runs of members quickly.
//
//     summary   1 . . 1 . .          bit w: word w is not zero
//               |     |
//     words     [64]  [64] ...       bit n: n is a member
//
// The owner provides the memory. Nothing is allocated.
//
// Invariants: a summary bit is set if and only if its word is not zero. count() is the number of
// set bits.
//
// Not synchronised: the owner's lock guards it.
#ifndef UZSWAP_BASE_BITMAP_H_
#define UZSWAP_BASE_BITMAP_H_

#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace uzswap {

class Bitmap {
 public:
  struct Run {
    size_t first = 0;
    size_t count = 0;  // 0: none
  };

  Bitmap() = default;
  // `memory` has WordsFor(bits) elements, all zero, and outlives the bitmap.
  Bitmap(uint64_t* memory, size_t bits)
      : words_(memory), summary_(memory + CoveringWords(bits)), bits_(bits) {}

  // The words of memory that a bitmap needs: for its bits and for the summary.
  static constexpr size_t WordsFor(size_t bits) {
    return CoveringWords(bits) + CoveringWords(CoveringWords(bits));
  }

  [[nodiscard]] size_t size() const { return bits_; }
  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] bool Test(size_t bit) const {
    UZ_DCHECK_LT(bit, bits_);
    return ((words_[bit / 64] >> (bit % 64)) & 1) != 0;
  }
  // Requires: the bit is clear.
  void Set(size_t bit);
  // Requires: the bit is set.
  void Clear(size_t bit);
  // Requires: count() == 0.
  void SetAll();

  // How many of the bits [first, first + count) are set. Requires: they are in the bitmap.
  [[nodiscard]] size_t CountIn(size_t first, size_t count) const;
  // The lowest member. Scans the summary, one word of which covers 4,096 bits.
  // Requires: count() > 0.
  [[nodiscard]] size_t Lowest() const;
  // The highest run of at least `at_least` members whose members are all below `below`. If it is
  // longer than `at_most`, only its highest `at_most` members are returned.
  [[nodiscard]] Run HighestRunBelow(size_t below, size_t at_least, size_t at_most) const;
  // Finds a run of members, at most `want` long. The search starts at the cursor of the last
  // search. It returns the first run of length `want`. If there is none, it returns the longest
  // run that begins in the next kWordsPerSearch non-empty words. count is 0 only when no bit is set
  // or `want` is 0.
  Run FindRun(size_t want);

  // Checks the summary and the count against all bits.
  void Audit() const;

 private:
  static constexpr size_t kWordsPerSearch = 16;

  static constexpr size_t CoveringWords(size_t bits) { return (bits + 63) / 64; }
  // The longest run that begins in word `index`. It may continue in the next words.
  [[nodiscard]] Run LongestFrom(size_t index, size_t want) const;

  uint64_t* words_ = nullptr;
  uint64_t* summary_ = nullptr;
  size_t bits_ = 0;
  size_t count_ = 0;
  size_t cursor_ = 0;  // the word at which FindRun begins
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_BITMAP_H_
