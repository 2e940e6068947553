// FrameArena: a fixed number of page frames. Their descriptors are in separate memory.
//
//   memory        | frame 0 | frame 1 | frame 2 | ...          private anonymous memory
//   descriptors   | d0 | d1 | d2 | ...                         16 bytes each, in another mapping
//   free frames   bitmap "warm" (the kernel still holds memory for them) and bitmap "cold"
//   magazines     a few free frames for each shard of threads, so that most calls take only a lock
//                 that no other thread needs
//
// A frame is named by its FrameId, not by its address. Without a pin, its memory may be
// inaccessible (FrameAccess::kWhilePinned: comparable to the kernel's high memory, the default in
// debug builds), and its owner may move its bytes to another frame.
//
// States of a frame (FrameKind):
//
//                    Allocate                          ReclaimRange finds it free,
//     kFree ---------------------------> kPool          or its owner frees it meanwhile
//       ^  ^------------- Free --------------+  +----------------------------> kIsolated
//       +------------------------- IsolatedRange ends ---------------------------+
//
// Invariants:
//   - A frame of the kind kFree cannot be pinned. A pinned frame is never freed.
//   - Memory becomes accessible when the lowest cold frame is first used (kAlways), so arena memory
//     above all frames that were ever used is only reserved address space.
//   - Memory is touched only when a frame is used. A freed frame stays warm for reuse until
//     ReleaseFreeFrames returns its memory to the kernel. The lowest warm frames are used first.
//
// Any thread may call any function except Init, Audit and the destructor. Nothing allocates from
// the heap. Pin and Unpin make a system call only with FrameAccess::kWhilePinned, and then under a
// leaf lock. Allocate makes one under the arena's lock when the accessible part grows. If no frame
// is free, the outcome is an invalid FrameId. Misuse (double free, free of a pinned frame) ends the
// process with a message that names it.
//
// Size: 17 data members, 46 methods. Allocation, pins, limits and ranges all change the same
// bitmaps, magazines and descriptors under the same locks, so they are one class. The members are
// these structures, and copies of their counts that are read without a lock. A third of the methods
// are short accessors (pins, queries, owners). The others are divided over frame_arena.cc,
// frame_range.cc and frame_release.cc.
#ifndef UZSWAP_FRAME_FRAME_ARENA_H_
#define UZSWAP_FRAME_FRAME_ARENA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/bitmap.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "frame/frame_owner.h"
#include "frame/frame_range.h"
#include "os/mapping.h"
#include "os/virtual_array.h"

namespace uzswap {

enum class FrameKind : uint8_t {
  kFree,      // in a bitmap or a magazine
  kPool,      // objects of a pool
  kIsolated,  // held by an IsolatedRange
};

enum class FrameAccess : uint8_t {
  kAlways,       // frames are accessible at all times
  kWhilePinned,  // frames are inaccessible unless pinned: an access without a pin crashes
};

#ifdef NDEBUG
inline constexpr FrameAccess kDefaultFrameAccess = FrameAccess::kAlways;
#else
inline constexpr FrameAccess kDefaultFrameAccess = FrameAccess::kWhilePinned;
#endif

struct FrameArenaOptions {
  PageCount capacity;
  FrameAccess access = kDefaultFrameAccess;
  size_t alignment = size_t{2} << 20;  // of frame 0, so that aligned ranges are huge pages
};

// The owner of a frame; 0: the frame has no owner.
using FrameOwnerId = uint8_t;
inline constexpr int kFrameOwnersMax = 16;

class FrameArena {
 public:
  FrameArena() = default;
  FrameArena(const FrameArena&) = delete;
  FrameArena& operator=(const FrameArena&) = delete;
  // Requires: every frame is free.
  ~FrameArena();

  // Fails if the kernel grants no address space.
  Result<void> Init(const FrameArenaOptions& options);

  // --- Frames ---
  // Returns an invalid id if no frame is free or the limit is reached. The content is unspecified.
  // `tag` is for the owner's use, see tag().
  [[nodiscard]] FrameId Allocate(FrameKind kind, FrameOwnerId owner = 0, uint64_t tag = 0);
  // Requires: the frame is in use and not pinned. Its memory stays warm.
  void Free(FrameId frame);

  // Keeps the frame in place and its memory accessible until Unpin. Pins are counted. Requires: the
  // frame is in use.
  [[nodiscard]] std::byte* Pin(FrameId frame);
  void Unpin(FrameId frame);
  // Makes the memory accessible until Unmap, for callers whose own protocol keeps the frame in
  // place and in use. It counts as a pin if frames are guarded; otherwise it costs nothing.
  [[nodiscard]] std::byte* Map(FrameId frame) {
    return access_ == FrameAccess::kWhilePinned ? PinGuarded(frame) : Address(frame.raw());
  }
  void Unmap(FrameId frame) {
    if (access_ == FrameAccess::kWhilePinned) UnpinGuarded(frame);
  }
  // Prefetches bytes that will be read soon. Any frame and offset are allowed; at worst the
  // prefetch is useless.
  void Prefetch(FrameId frame, size_t offset) const {
    const auto base = reinterpret_cast<uintptr_t>(memory_.data());
    __builtin_prefetch(
        reinterpret_cast<const void*>(base + (size_t{frame.raw()} << kPageShift) + offset));
  }

  // --- Queries. The results are hints unless the caller keeps the frame in its state ---
  [[nodiscard]] uint32_t pins(FrameId frame) const;
  // For questions about the memory, not for its bytes.
  [[nodiscard]] const std::byte* AddressOf(FrameId frame) const { return Address(frame.raw()); }
  [[nodiscard]] FrameKind kind(FrameId frame) const;
  [[nodiscard]] FrameOwnerId owner(FrameId frame) const;
  // 64 bits for the owner, for example the number of the unit that has the frame.
  [[nodiscard]] uint64_t tag(FrameId frame) const;
  void SetTag(FrameId frame, uint64_t tag);

  // --- Owners ---
  // RemoveOwner requires: no frame of that owner is in use. At most kFrameOwnersMax - 1 owners.
  [[nodiscard]] FrameOwnerId AddOwner(FrameOwner* owner);
  void RemoveOwner(FrameOwnerId id);

  // --- Watermarks ---
  [[nodiscard]] PageCount capacity() const { return PageCount(capacity_); }
  [[nodiscard]] PageCount frames_in_use() const;
  // Frames for which the kernel holds memory: those in use and the warm ones.
  [[nodiscard]] PageCount frames_populated() const;
  [[nodiscard]] FrameAccess access() const { return access_; }
  [[nodiscard]] static constexpr size_t descriptor_size() { return sizeof(Descriptor); }
  // From now on at most `limit` frames are in use. Frames above the limit stay in use until they
  // are freed. The initial limit is the capacity.
  void SetLimit(PageCount limit);

  // Returns the memory of up to `max` warm free frames to the kernel, long runs first, from the
  // highest frame down. Returns how many. Makes system calls, without holding a lock.
  PageCount ReleaseFreeFrames(PageCount max);

  // --- Contiguous ranges, see frame/frame_range.h ---
  ReclaimRangeResult ReclaimRange(FrameId first, PageCount count,
                                  const ReclaimRangeOptions& options = {});
  // Frames in magazines count as in use. DrainMagazines moves them to the bitmaps first.
  [[nodiscard]] RangeUsage UsageOf(FrameId first, PageCount count);
  // Moves the free frames of all threads' magazines back into the bitmaps.
  void DrainMagazines() UZ_EXCLUDES(mutex_);

  // Checks the free lists against the descriptors. Requires: no other thread is active.
  void Audit();

 private:
  friend class FrameArenaPeer;
  friend class IsolatedRange;

  struct Descriptor {
    // Changed by any thread. It orders no data (the owner's protocol does), except that Free, which
    // checks for 0, must see earlier Unpins: acquire and release.
    std::atomic<uint32_t> pins;
    // Kind and owner: written by Allocate and Free, read by any thread. The writer releases, so a
    // thread that sees the kind also sees the tag.
    std::atomic<FrameKind> kind;
    std::atomic<uint8_t> owner;
    // kInRange and kCold: written under mutex_.
    std::atomic<uint8_t> flags;
    uint8_t unused;
    // Release and acquire: a thread that reads a tag also sees what the owner wrote under that
    // number.
    std::atomic<uint64_t> tag;
  };
  static_assert(sizeof(Descriptor) == 16);
  static constexpr uint8_t kInRange = 1;  // in a range under reclaim: isolated when freed
  static constexpr uint8_t kCold = 2;     // isolated, and the kernel holds no memory for it

  static constexpr int kMagazineMax = 32;
  struct alignas(kCacheLineSize) Magazine {
    Mutex mutex{LockRank::kFrameMagazine};
    std::atomic<uint32_t> count{0};  // written under the mutex, read by any thread as a hint
    uint32_t frames[kMagazineMax] UZ_GUARDED_BY(mutex) = {};
  };
  static constexpr int kMagazines = 8;
  struct alignas(kCacheLineSize) PinStripe {
    Mutex mutex{LockRank::kLeaf};
  };
  static constexpr int kPinStripes = 16;

  static constexpr uint32_t kNone = UINT32_MAX;

  bool InjectedFailure();
  uint32_t TakeFromMagazine(Magazine& magazine);
  void RefillLocked(Magazine& magazine) UZ_REQUIRES(magazine.mutex) UZ_EXCLUDES(mutex_);
  uint32_t TakeFreeLocked() UZ_REQUIRES(mutex_);
  void PutFreeLocked(uint32_t frame) UZ_REQUIRES(mutex_);
  void MarkInUse(uint32_t frame, FrameKind kind, FrameOwnerId owner, uint64_t tag);
  uint64_t SpareLocked() const UZ_REQUIRES(mutex_);
  void PublishCountsLocked() UZ_REQUIRES(mutex_);
  [[nodiscard]] std::byte* Address(uint32_t frame) const {
    return memory_.data() + (size_t{frame} << kPageShift);
  }
  std::byte* PinGuarded(FrameId frame);
  void UnpinGuarded(FrameId frame);
  Bitmap::Run TakeWarmRun(size_t below, size_t at_least, size_t at_most);

  // frame_range.cc
  bool IsolateFree(uint64_t first, uint64_t count, RangeReport& report);
  uint64_t MigrateOnce(uint64_t first, uint64_t count, const ReclaimRangeOptions& options,
                       RangeReport& report);
  FrameId TakeForMove(FrameKind kind, FrameOwnerId owner, bool populated_only) UZ_EXCLUDES(mutex_);
  RangeLeft MoveOne(uint32_t frame, const ReclaimRangeOptions& options, RangeReport& report);
  PageCount EndRange(uint64_t first, uint64_t count, bool discard);

  os::Mapping memory_;  // grows under mutex_
  os::VirtualArray<Descriptor> descriptors_;
  os::VirtualArray<uint64_t> bitmap_words_;  // of warm_ and cold_
  uint64_t capacity_ = 0;
  FrameAccess access_ = kDefaultFrameAccess;

  // Separate cache lines: read by every call (above), guarded by the lock, read by every call
  // (below).
  alignas(kCacheLineSize) Mutex mutex_{LockRank::kFrameArena};
  Bitmap warm_ UZ_GUARDED_BY(mutex_);
  Bitmap cold_ UZ_GUARDED_BY(mutex_);
  uint64_t taken_ UZ_GUARDED_BY(mutex_) = 0;  // not in the bitmaps: in use or in a magazine
  uint64_t limit_ UZ_GUARDED_BY(mutex_) = 0;
  uint64_t isolated_cold_ UZ_GUARDED_BY(mutex_) = 0;  // isolated frames without memory
  // Copies of the counts for readers without the lock. Relaxed: statistics only.
  std::atomic<uint64_t> taken_seen_{0};
  std::atomic<uint64_t> cold_seen_{0};

  alignas(kCacheLineSize) std::atomic<uint64_t> fail_in_{0};  // set by tests only; relaxed
  std::atomic<FrameOwner*> owners_[kFrameOwnersMax] = {};
  Magazine magazines_[kMagazines];
  PinStripe pin_stripes_[kPinStripes];
};

// A pin that ends with its scope.
class [[nodiscard]] PinnedFrame {
 public:
  PinnedFrame() = default;
  PinnedFrame(FrameArena& arena, FrameId frame)
      : arena_(&arena), frame_(frame), data_(arena.Pin(frame)) {}
  PinnedFrame(PinnedFrame&& other) noexcept { *this = std::move(other); }
  PinnedFrame& operator=(PinnedFrame&& other) noexcept {
    std::swap(arena_, other.arena_);
    std::swap(frame_, other.frame_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~PinnedFrame() {
    if (arena_ != nullptr) arena_->Unpin(frame_);
  }
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  FrameArena* arena_ = nullptr;
  FrameId frame_;
  std::byte* data_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_FRAME_FRAME_ARENA_H_
