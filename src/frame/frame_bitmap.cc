#include "frame/frame_bitmap.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace uzswap {
namespace {

constexpr size_t Words(size_t bits) { return (bits + 63) / 64; }

}  // namespace

Result<void> FrameBitmap::Init(size_t bits) {
  auto words = os::VirtualArray<uint64_t>::Create(Words(bits), "bitmap of frames");
  if (!words.ok()) return words.error();
  auto summary = os::VirtualArray<uint64_t>::Create(Words(Words(bits)), "bitmap of frames");
  if (!summary.ok()) return summary.error();
  words_ = std::move(words).value();
  summary_ = std::move(summary).value();
  bits_ = bits;
  return {};
}

void FrameBitmap::Set(size_t bit) {
  UZ_CHECK_LT(bit, bits_);
  UZ_CHECK(!Test(bit));
  const size_t word = bit / 64;
  words_[word] |= uint64_t{1} << (bit % 64);
  summary_[word / 64] |= uint64_t{1} << (word % 64);
  ++count_;
}

void FrameBitmap::Clear(size_t bit) {
  UZ_CHECK_LT(bit, bits_);
  UZ_CHECK(Test(bit));
  const size_t word = bit / 64;
  words_[word] &= ~(uint64_t{1} << (bit % 64));
  if (words_[word] == 0) summary_[word / 64] &= ~(uint64_t{1} << (word % 64));
  --count_;
}

void FrameBitmap::SetAll() {
  UZ_CHECK_EQ(count_, size_t{0});
  for (size_t word = 0; word < Words(bits_); ++word) {
    const size_t here = bits_ - word * 64;
    words_[word] = here >= 64 ? ~uint64_t{0} : (uint64_t{1} << here) - 1;
    summary_[word / 64] |= uint64_t{1} << (word % 64);
  }
  count_ = bits_;
}

size_t FrameBitmap::CountIn(size_t first, size_t count) const {
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

size_t FrameBitmap::Lowest() const {
  UZ_CHECK_GT(count_, size_t{0});
  size_t i = 0;
  while (summary_[i] == 0) ++i;
  const size_t word = i * 64 + static_cast<size_t>(std::countr_zero(summary_[i]));
  return word * 64 + static_cast<size_t>(std::countr_zero(words_[word]));
}

FrameBitmap::Run FrameBitmap::HighestRunBelow(size_t below, size_t at_least, size_t at_most) const {
  size_t length = 0;  // members seen in a row, ending at `bit`
  for (size_t bit = below; bit-- > 0;) {
    if (bit % 64 == 63 && words_[bit / 64] == 0) {
      length = 0;
      bit -= 63;
      continue;
    }
    length = Test(bit) ? length + 1 : 0;
    // Settle once the run cannot grow further, or is as long as it may be.
    const bool ends = length > 0 && (bit == 0 || !Test(bit - 1) || length == at_most);
    if (!ends) continue;
    if (length >= at_least) return {bit, length};
    length = 0;
  }
  return {};
}

void FrameBitmap::Audit() const {
  size_t count = 0;
  for (size_t word = 0; word < Words(bits_); ++word) {
    count += static_cast<size_t>(std::popcount(words_[word]));
    const bool summarised = ((summary_[word / 64] >> (word % 64)) & 1) != 0;
    UZ_CHECK_EQ(summarised, words_[word] != 0);
  }
  UZ_CHECK_EQ(count, count_);
}

}  // namespace uzswap
