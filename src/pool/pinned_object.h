// PinnedObject: read access to a stored object, without a copy.
//
//     one segment    | ....[#########].... |
//     two segments   | .............[##### | ####].............. |
//
// An object may straddle two frames. It then has two segments, in order. While the pin exists, the
// object is not moved or freed, and its frames are accessible. A PinnedObject is move-only; its
// destructor unpins. Pins are counted: an object can have several. A pin must not outlive its pool.
// It may be passed to another thread.
#ifndef UZSWAP_POOL_PINNED_OBJECT_H_
#define UZSWAP_POOL_PINNED_OBJECT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "base/units.h"

namespace uzswap {

class HandlePool;

// The frames of an object, and its bytes in them.
struct Extent {
  struct Part {
    FrameId frame;
    uint32_t offset = 0;
    uint32_t length = 0;
  };
  Part parts[2];
  int count = 0;
};

class [[nodiscard]] PinnedObject {
 public:
  PinnedObject() = default;
  PinnedObject(PinnedObject&& other) noexcept { *this = std::move(other); }
  PinnedObject& operator=(PinnedObject&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(index_, other.index_);
    std::swap(count_, other.count_);
    std::swap(frames_, other.frames_);
    std::swap(segments_, other.segments_);
    return *this;
  }
  ~PinnedObject() {
    if (pool_ != nullptr) Release();
  }

  // False after TryPin of a stale handle, and after a move from this object.
  explicit operator bool() const { return pool_ != nullptr; }
  [[nodiscard]] size_t segment_count() const { return static_cast<size_t>(count_); }
  [[nodiscard]] std::span<const std::byte> segment(size_t i) const {
    UZ_DCHECK_LT(i, segment_count());
    return segments_[i];
  }
  [[nodiscard]] size_t size() const { return segments_[0].size() + segments_[1].size(); }
  // Requires: destination.size() >= size().
  void CopyTo(std::span<std::byte> destination) const {
    UZ_CHECK_GE(destination.size(), size());
    std::byte* out = destination.data();
    for (int i = 0; i < count_; ++i) {
      std::memcpy(out, segments_[i].data(), segments_[i].size());
      out += segments_[i].size();
    }
  }

 private:
  friend class HandlePool;
  void Release();
  // For the pool. It writes an object through its own pin.
  [[nodiscard]] std::span<std::byte> Writable(int i) const {
    return {const_cast<std::byte*>(segments_[i].data()), segments_[i].size()};
  }

  HandlePool* pool_ = nullptr;
  uint32_t index_ = 0;
  int count_ = 0;
  FrameId frames_[2];
  std::span<const std::byte> segments_[2];
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_PINNED_OBJECT_H_
