// Size classes: which sizes share a kind of zspage, and how many frames such a zspage spans.
//
//     chain of 3 frames, class of 1,360 bytes: 9 positions, 48 bytes wasted in total
//     | 0 | 1 | 2 | 3..|..3 | 4 | 5 | 6..|..6 | 7 | 8 |#|
//
// Sizes go in steps of 16 bytes from 32 to 4,096. Each size uses the smallest number of frames (up
// to the chain limit, 4 to 16) that wastes the least at the end. Powers of two use one frame. From
// the largest size downwards, sizes with the same number of frames and positions are merged into
// one class: the larger size serves the smaller one at the same cost. Every size above the huge
// watermark belongs to the class of whole frames.
//
// Golden values: the huge watermark is 3,264, 3,632 and 3,840 bytes for chains of 4, 8 and 16.
// Everything is pure arithmetic; any thread may call it. The rule is zsmalloc's (N. Gupta, M. Kim,
// S. Senozhatsky).
#ifndef UZSWAP_POOL_SIZE_CLASS_H_
#define UZSWAP_POOL_SIZE_CLASS_H_

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace uzswap {

struct SizeClass {
  uint16_t size = 0;       // of a position, in bytes
  uint16_t frames = 0;     // of a zspage
  uint16_t positions = 0;  // of a zspage

  // The positions with bytes in frame k are [FirstIn(k), EndIn(k)).
  [[nodiscard]] constexpr uint32_t FirstIn(uint32_t k) const {
    const uint32_t position = static_cast<uint32_t>((k << kPageShift) / size);
    return position < positions ? position : positions;
  }
  [[nodiscard]] constexpr uint32_t EndIn(uint32_t k) const {
    const uint32_t end = static_cast<uint32_t>((((k + 1) << kPageShift) + size - 1) / size);
    return end < positions ? end : positions;
  }
  [[nodiscard]] constexpr uint32_t FirstFrameOf(uint32_t position) const {
    return (position * size) >> kPageShift;
  }
  [[nodiscard]] constexpr uint32_t LastFrameOf(uint32_t position) const {
    return (position * size + size - 1u) >> kPageShift;
  }
};

inline constexpr uint32_t kSizeStep = 16;
inline constexpr uint32_t kSizeMin = 32;
inline constexpr uint32_t kRawSizes = (kPageSize - kSizeMin) / kSizeStep + 1;  // 255
inline constexpr uint32_t kChainMin = 4;
inline constexpr uint32_t kChainMax = 16;
inline constexpr uint32_t kPositionsMax = 256;

constexpr uint32_t FramesForSize(uint32_t size, uint32_t chain) {
  if ((size & (size - 1)) == 0) return 1;
  uint32_t best = 1;
  for (uint32_t frames = 2; frames <= chain; ++frames) {
    if ((frames << kPageShift) % size < (best << kPageShift) % size) best = frames;
  }
  return best;
}

class SizeClassTable {
 public:
  // Requires: kChainMin <= chain <= kChainMax.
  constexpr explicit SizeClassTable(uint32_t chain) {
    // From the largest size down: a class has the size of its largest member.
    for (uint32_t raw = kRawSizes; raw-- > 0;) {
      const uint32_t size = kSizeMin + raw * kSizeStep;
      const uint32_t frames = FramesForSize(size, chain);
      const uint32_t positions = static_cast<uint32_t>((frames << kPageShift) / size);
      const bool same = count_ > 0 && classes_[count_ - 1].frames == frames &&
                        classes_[count_ - 1].positions == positions;
      if (!same) {
        classes_[count_++] = {static_cast<uint16_t>(size), static_cast<uint16_t>(frames),
                              static_cast<uint16_t>(positions)};
      }
      class_of_raw_[raw] = static_cast<uint8_t>(count_ - 1);
      if (huge_above_ == 0 && frames != 1 && positions != 1) huge_above_ = size;
    }
  }

  // Class 0 has the largest size: a whole frame.
  [[nodiscard]] constexpr uint32_t count() const { return count_; }
  [[nodiscard]] constexpr const SizeClass& operator[](uint32_t number) const {
    return classes_[number];
  }
  // Requires: 0 < size <= kPageSize.
  [[nodiscard]] constexpr uint32_t ClassFor(size_t size) const {
    const size_t raw = size <= kSizeMin ? 0 : (size - kSizeMin + kSizeStep - 1) / kSizeStep;
    return class_of_raw_[raw];
  }
  // Each object above this size uses a whole frame.
  [[nodiscard]] constexpr uint32_t huge_above() const { return huge_above_; }

 private:
  SizeClass classes_[kRawSizes] = {};
  uint8_t class_of_raw_[kRawSizes] = {};
  uint32_t count_ = 0;
  uint32_t huge_above_ = 0;
};

static_assert(SizeClassTable(4).huge_above() == 3264);
static_assert(SizeClassTable(8).huge_above() == 3632);
static_assert(SizeClassTable(16).huge_above() == 3840);

}  // namespace uzswap

#endif  // UZSWAP_POOL_SIZE_CLASS_H_
