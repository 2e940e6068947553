// StagingRing: pages of a region that were isolated, oldest first, in frames.
//
//     positions:   released <= head <= tail            frame: first + position % capacity
//
//      released           head                        tail
//         | being stored    | staged, oldest first      | free        released + capacity
//         +-----------------+---------------------------+-------------------+
//
//   Push     at the tail: a page was moved into the frame of this position
//   Pop      at the head: the oldest page; its frame may be empty by now, which its word tells
//   Release  up to the head: the memory of the frames goes back to the kernel
//
// A page that is touched leaves its frame in the middle of the ring, and the frame stays empty
// until its position is released. No frame holds a second page before its memory was given back
// (docs/decisions/0003-no-frame-is-reused.md).
//
// All calls under the lock of the owner. DiscardUpTo may be called without it, by the one thread
// that calls Release. Nothing allocates after Init.
#ifndef UZSWAP_REGION_STAGING_RING_H_
#define UZSWAP_REGION_STAGING_RING_H_

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "base/result.h"
#include "base/units.h"
#include "os/mapping.h"
#include "os/virtual_array.h"

namespace uzswap {

class StagingRing {
 public:
  // Once. `frames` outlives this; the ring has `capacity` of them, from number `first` on. Fails
  // with the errno of mmap.
  Result<void> Init(os::Mapping& frames, uint32_t first, uint32_t capacity) {
    frames_ = &frames;
    first_ = first;
    auto pages = os::VirtualArray<uint64_t>::Create(capacity, "owners of staging frames");
    if (!pages.ok()) return pages.error();
    pages_ = std::move(pages).value();
    return {};
  }

  [[nodiscard]] uint32_t capacity() const { return static_cast<uint32_t>(pages_.capacity()); }

  // Between head and tail; frames that are empty by now included.
  [[nodiscard]] uint64_t count() const { return tail_ - head_; }
  // Adjacent frames at the tail that are free, at most `want`.
  [[nodiscard]] uint32_t Room(uint32_t want) const {
    const uint64_t free = capacity() - (tail_ - released_);
    const uint64_t to_end = capacity() - tail_ % capacity();
    return static_cast<uint32_t>(std::min<uint64_t>({want, free, to_end}));
  }
  [[nodiscard]] uint32_t TailFrame() const { return FrameOf(tail_); }
  void Push(uint64_t page) {
    UZ_DCHECK_LT(tail_ - released_, capacity());
    pages_[tail_ % capacity()] = page;
    ++tail_;
  }

  struct Oldest {
    uint32_t frame = 0;
    uint64_t page = 0;
  };
  // Requires: count() > 0.
  Oldest Pop() {
    UZ_DCHECK_LT(head_, tail_);
    const Oldest oldest{FrameOf(head_), pages_[head_ % capacity()]};
    ++head_;
    return oldest;
  }

  // What to give back to the kernel, in at most two parts; then Release.
  [[nodiscard]] uint64_t head() const { return head_; }
  void DiscardUpTo(uint64_t position) {
    for (uint64_t at = released_; at < position;) {
      const uint64_t count = std::min(position - at, capacity() - at % capacity());
      frames_->Discard(uint64_t{FrameOf(at)} << kPageShift, count << kPageShift);
      at += count;
    }
  }
  void Release(uint64_t position) {
    UZ_DCHECK_LE(position, head_);
    released_ = position;
  }

 private:
  [[nodiscard]] uint32_t FrameOf(uint64_t position) const {
    return first_ + static_cast<uint32_t>(position % capacity());
  }

  os::Mapping* frames_ = nullptr;
  uint32_t first_ = 0;
  os::VirtualArray<uint64_t> pages_;  // of each frame
  uint64_t released_ = 0;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_STAGING_RING_H_
