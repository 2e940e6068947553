#include "base/bitmap.h"

#include <algorithm>
#include <bit>

namespace uzswap {

void Bitmap::Set(size_t bit) {
  UZ_CHECK_LT(bit, bits_);
  UZ_CHECK(!Test(bit));
  const size_t word = bit / 64;
  words_[word] |= uint64_t{1} << (bit % 64);
  summary_[word / 64] |= uint64_t{1} << (word % 64);
  ++count_;
}

void Bitmap::Clear(size_t bit) {
  UZ_CHECK_LT(bit, bits_);
  UZ_CHECK(Test(bit));
  const size_t word = bit / 64;
  words_[word] &= ~(uint64_t{1} << (bit % 64));
  if (words_[word] == 0) summary_[word / 64] &= ~(uint64_t{1} << (word % 64));
  --count_;
}

void Bitmap::SetAll() {
  UZ_CHECK_EQ(count_, size_t{0});
  for (size_t word = 0; word < CoveringWords(bits_); ++word) {
    const size_t here = bits_ - word * 64;
    words_[word] = here >= 64 ? ~uint64_t{0} : (uint64_t{1} << here) - 1;
    summary_[word / 64] |= uint64_t{1} << (word % 64);
  }
  count_ = bits_;
}

size_t Bitmap::CountIn(size_t first, size_t count) const {
  const size_t end = first + count;
  UZ_CHECK_LE(end, bits_);
  size_t found = 0;
  while (first < end) {
    const size_t next = std::min((first / 64 + 1) * 64, end);
    uint64_t bits = words_[first / 64] >> (first % 64);
    if (next - first < 64) bits &= (uint64_t{1} << (next - first)) - 1;
    found += static_cast<size_t>(std::popcount(bits));
    first = next;
  }
  return found;
}

size_t Bitmap::Lowest() const {
  UZ_CHECK_GT(count_, size_t{0});
  size_t i = 0;
  while (summary_[i] == 0) ++i;
  const size_t word = i * 64 + static_cast<size_t>(std::countr_zero(summary_[i]));
  return word * 64 + static_cast<size_t>(std::countr_zero(words_[word]));
}

Bitmap::Run Bitmap::HighestRunBelow(size_t below, size_t at_least, size_t at_most) const {
  size_t length = 0;  // members seen in a row, ending at `bit`
  for (size_t bit = below; bit-- > 0;) {
    if (bit % 64 == 63 && words_[bit / 64] == 0) {
      length = 0;
      bit -= 63;
      continue;
    }
    length = Test(bit) ? length + 1 : 0;
    // Decide when the run cannot grow further or has the maximum length.
    const bool ends = length > 0 && (bit == 0 || !Test(bit - 1) || length == at_most);
    if (!ends) continue;
    if (length >= at_least) return {bit, length};
    length = 0;
  }
  return {};
}

Bitmap::Run Bitmap::FindRun(size_t want) {
  Run best;
  if (count_ == 0 || want == 0) return best;
  const size_t word_count = CoveringWords(bits_);
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

Bitmap::Run Bitmap::LongestFrom(size_t index, size_t want) const {
  Run best;
  uint64_t rest = words_[index];
  while (rest != 0) {
    const auto first = static_cast<size_t>(std::countr_zero(rest));
    const auto ones = static_cast<size_t>(std::countr_one(rest >> first));
    size_t length = ones;
    if (first + ones == 64) {
      for (size_t next = index + 1; length < want && next < CoveringWords(bits_); ++next) {
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

void Bitmap::Audit() const {
  size_t count = 0;
  for (size_t word = 0; word < CoveringWords(bits_); ++word) {
    count += static_cast<size_t>(std::popcount(words_[word]));
    const bool summarised = ((summary_[word / 64] >> (word % 64)) & 1) != 0;
    UZ_CHECK_EQ(summarised, words_[word] != 0);
  }
  UZ_CHECK_EQ(count, count_);
}

}  // namespace uzswap
