// Bitmap: bits in memory of the owner's, with a search for runs.
//
//   words:  [ 0111 0011 ... ][ ... ]      FindRun looks for ones that stand together
//
// A view: it owns nothing and allocates nothing. Not synchronised; the owner's lock guards it.
#ifndef UZSWAP_BASE_BITMAP_H_
#define UZSWAP_BASE_BITMAP_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace uzswap {

class Bitmap {
 public:
  struct Run {
    size_t first = 0;
    size_t count = 0;
  };

  Bitmap() = default;
  // `words` has (bits + 63) / 64 elements and outlives the bitmap.
  Bitmap(uint64_t* words, size_t bits) : words_(words), bits_(bits) {}

  static constexpr size_t WordsFor(size_t bits) { return (bits + 63) / 64; }

  [[nodiscard]] size_t size() const { return bits_; }
  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] bool Test(size_t bit) const {
    UZ_DCHECK_LT(bit, bits_);
    return (words_[bit / 64] >> (bit % 64)) & 1;
  }
  // Requires: the bit is clear.
  void Set(size_t bit) {
    UZ_CHECK(!Test(bit));
    words_[bit / 64] |= uint64_t{1} << (bit % 64);
    ++count_;
  }
  // Requires: the bit is set.
  void Clear(size_t bit) {
    UZ_CHECK(Test(bit));
    words_[bit / 64] &= ~(uint64_t{1} << (bit % 64));
    --count_;
  }

  // Finds a run of set bits, at most `want` long. Takes the first run of full length after the
  // cursor of the last search; failing that, the longest of the runs seen in `kWordsPerSearch`
  // non-empty words. count is 0 only when no bit is set.
  Run FindRun(size_t want) {
    Run best;
    if (count_ == 0 || want == 0) return best;
    const size_t word_count = WordsFor(bits_);
    size_t looked_at = 0;
    for (size_t i = 0; i <= word_count && looked_at < kWordsPerSearch; ++i) {
      const size_t index = (cursor_ + i) % word_count;
      if (words_[index] == 0) continue;
      ++looked_at;
      const Run run = LongestFrom(index, want);
      if (run.count > best.count) best = run;
      if (best.count == want) break;
    }
    UZ_DCHECK(best.count > 0);
    cursor_ = best.first / 64;
    return best;
  }

 private:
  static constexpr size_t kWordsPerSearch = 16;

  // The longest run that begins in word `index`; it may go on into the words after it.
  [[nodiscard]] Run LongestFrom(size_t index, size_t want) const {
    Run best;
    uint64_t rest = words_[index];
    while (rest != 0) {
      const auto first = static_cast<size_t>(std::countr_zero(rest));
      const auto ones = static_cast<size_t>(std::countr_one(rest >> first));
      size_t length = ones;
      if (first + ones == 64) {
        for (size_t next = index + 1; length < want && next < WordsFor(bits_); ++next) {
          const auto more = static_cast<size_t>(std::countr_one(words_[next]));
          length += more;
          if (more < 64) break;
        }
      }
      if (length > best.count) best = {index * 64 + first, length < want ? length : want};
      if (best.count == want || first + ones == 64) break;
      rest &= ~uint64_t{0} << (first + ones);
    }
    return best;
  }

  uint64_t* words_ = nullptr;
  size_t bits_ = 0;
  size_t count_ = 0;
  size_t cursor_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_BITMAP_H_
