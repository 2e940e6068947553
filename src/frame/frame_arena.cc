#include "frame/frame_arena.h"

#include <algorithm>

#include "base/thread_shard.h"

namespace uzswap {
namespace {

// How many frames move between a magazine and the bitmaps at a time.
constexpr uint32_t kBatch = 16;

}  // namespace

Result<void> FrameArena::Init(const FrameArenaOptions& options) {
  UZ_CHECK_LT(options.capacity.raw(), uint64_t{kNone});
  auto memory = os::Mapping::Reserve(ToBytes(options.capacity), "arena", options.alignment,
                                     os::MappingPurpose::kPoolFrames);
  if (!memory.ok()) return memory.error();
  auto descriptors =
      os::VirtualArray<Descriptor>::Create(options.capacity.raw(), "frame descriptors");
  if (!descriptors.ok()) return descriptors.error();
  const size_t each = Bitmap::WordsFor(options.capacity.raw());
  auto words = os::VirtualArray<uint64_t>::Create(2 * each, "bitmaps of frames");
  if (!words.ok()) return words.error();
  {
    MutexLock lock(mutex_);
    warm_ = Bitmap(words.value().data(), options.capacity.raw());
    cold_ = Bitmap(words.value().data() + each, options.capacity.raw());
    cold_.SetAll();
    limit_ = options.capacity.raw();
    PublishCountsLocked();
  }
  memory_ = std::move(memory).value();
  descriptors_ = std::move(descriptors).value();
  bitmap_words_ = std::move(words).value();
  capacity_ = options.capacity.raw();
  access_ = options.access;
  memory_.ForbidHugePages();
  return {};
}

FrameArena::~FrameArena() {
  if (memory_.empty()) return;
  DrainMagazines();
  MutexLock lock(mutex_);
  if (taken_ != 0)
    PanicOperands(__FILE__, __LINE__, "arena destroyed with frames in use", taken_, 0);
}

// --- Allocation ---

bool FrameArena::InjectedFailure() {
  if (__builtin_expect(fail_in_.load(std::memory_order_relaxed) == 0, 1)) return false;
  return fail_in_.fetch_sub(1, std::memory_order_relaxed) == 1;
}

FrameId FrameArena::Allocate(FrameKind kind, FrameOwnerId owner, uint64_t tag) {
  if (InjectedFailure()) return FrameId();
  Magazine& mine = magazines_[ThreadShard() % kMagazines];
  uint32_t frame = TakeFromMagazine(mine);
  if (frame == kNone) {
    // The last free frames may be in the magazines of other threads.
    DrainMagazines();
    frame = TakeFromMagazine(mine);
  }
  if (frame == kNone) return FrameId();
  MarkInUse(frame, kind, owner, tag);
  return FrameId(frame);
}

uint32_t FrameArena::TakeFromMagazine(Magazine& magazine) {
  MutexLock lock(magazine.mutex);
  uint32_t count = magazine.count.load(std::memory_order_relaxed);
  if (count == 0) {
    RefillLocked(magazine);
    count = magazine.count.load(std::memory_order_relaxed);
  }
  if (count == 0) return kNone;
  magazine.count.store(count - 1, std::memory_order_relaxed);
  return magazine.frames[count - 1];
}

void FrameArena::RefillLocked(Magazine& magazine) {
  MutexLock lock(mutex_);
  const uint64_t amount = std::min<uint64_t>(SpareLocked(), kBatch);
  uint32_t count = 0;
  while (count < amount) {
    const uint32_t frame = TakeFreeLocked();
    if (frame == kNone) break;
    magazine.frames[count++] = frame;
  }
  // The magazine is a stack: the lowest frame is last, because low frames are used first.
  std::reverse(magazine.frames, magazine.frames + count);
  magazine.count.store(count, std::memory_order_relaxed);
  PublishCountsLocked();
}

void FrameArena::DrainMagazines() {
  for (Magazine& magazine : magazines_) {
    uint32_t frames[kMagazineMax];
    uint32_t count = 0;
    {
      MutexLock lock(magazine.mutex);
      count = magazine.count.load(std::memory_order_relaxed);
      std::copy_n(magazine.frames, count, frames);
      magazine.count.store(0, std::memory_order_relaxed);
    }
    if (count == 0) continue;
    MutexLock lock(mutex_);
    for (uint32_t i = 0; i < count; ++i) PutFreeLocked(frames[i]);
    PublishCountsLocked();
  }
}

// The number of free frames that the limit allows to use.
uint64_t FrameArena::SpareLocked() const {
  const uint64_t free = warm_.count() + cold_.count();
  return std::min(free, limit_ > taken_ ? limit_ - taken_ : 0);
}

// kNone if the kernel does not make the memory of a cold frame accessible.
uint32_t FrameArena::TakeFreeLocked() {
  const bool warm = warm_.count() > 0;
  Bitmap& source = warm ? warm_ : cold_;
  const size_t frame = source.Lowest();
  // Guarded frames become accessible when they are pinned.
  if (!warm && access_ == FrameAccess::kAlways &&
      !memory_.MakeAccessible((frame + 1) << kPageShift)) {
    return kNone;
  }
  source.Clear(frame);
  ++taken_;
  return static_cast<uint32_t>(frame);
}

void FrameArena::PutFreeLocked(uint32_t frame) {
  Descriptor& descriptor = descriptors_[frame];
  --taken_;
  if ((descriptor.flags.load(std::memory_order_relaxed) & kInRange) != 0) {
    descriptor.kind.store(FrameKind::kIsolated, std::memory_order_release);
  } else {
    warm_.Set(frame);
  }
}

void FrameArena::MarkInUse(uint32_t frame, FrameKind kind, FrameOwnerId owner, uint64_t tag) {
  UZ_CHECK(kind != FrameKind::kFree && kind != FrameKind::kIsolated);
  Descriptor& descriptor = descriptors_[frame];
  UZ_CHECK(descriptor.kind.load(std::memory_order_relaxed) == FrameKind::kFree);
  UZ_CHECK_EQ(descriptor.pins.load(std::memory_order_relaxed), 0u);
  descriptor.owner.store(owner, std::memory_order_relaxed);
  descriptor.tag.store(tag, std::memory_order_release);
  descriptor.kind.store(kind, std::memory_order_release);
}

void FrameArena::Free(FrameId frame) {
  UZ_CHECK_LT(frame.raw(), capacity_);
  Descriptor& descriptor = descriptors_[frame.raw()];
  if (descriptor.pins.load(std::memory_order_acquire) != 0) {
    Panic(__FILE__, __LINE__, "free of a pinned frame");
  }
  const FrameKind kind = descriptor.kind.exchange(FrameKind::kFree, std::memory_order_acq_rel);
  if (kind == FrameKind::kFree || kind == FrameKind::kIsolated) {
    Panic(__FILE__, __LINE__, "double free of a frame");
  }
  Magazine& mine = magazines_[ThreadShard() % kMagazines];
  MutexLock lock(mine.mutex);
  // ReclaimRange sets the flag and then visits each magazine under its lock. So either it sees the
  // frame there, or this code sees the flag.
  if ((descriptor.flags.load(std::memory_order_relaxed) & kInRange) != 0) {
    MutexLock arena_lock(mutex_);
    PutFreeLocked(frame.raw());
    PublishCountsLocked();
    return;
  }
  uint32_t count = mine.count.load(std::memory_order_relaxed);
  if (count == kMagazineMax) {
    MutexLock arena_lock(mutex_);
    for (; count > kMagazineMax - kBatch; --count) PutFreeLocked(mine.frames[count - 1]);
    PublishCountsLocked();
  }
  mine.frames[count] = frame.raw();
  mine.count.store(count + 1, std::memory_order_relaxed);
}

// --- Pins ---

std::byte* FrameArena::Pin(FrameId frame) {
  UZ_CHECK_LT(frame.raw(), capacity_);
  Descriptor& descriptor = descriptors_[frame.raw()];
  UZ_DCHECK(descriptor.kind.load(std::memory_order_relaxed) != FrameKind::kFree);
  if (access_ == FrameAccess::kWhilePinned) return PinGuarded(frame);
  descriptor.pins.fetch_add(1, std::memory_order_relaxed);
  return Address(frame.raw());
}

void FrameArena::Unpin(FrameId frame) {
  if (access_ == FrameAccess::kWhilePinned) return UnpinGuarded(frame);
  const uint32_t before = descriptors_[frame.raw()].pins.fetch_sub(1, std::memory_order_release);
  if (before == 0) Panic(__FILE__, __LINE__, "unpin of a frame that is not pinned");
}

// The first pin makes the frame accessible and the last unpin makes it inaccessible. The lock
// prevents a second pin from returning before the first has finished this.
std::byte* FrameArena::PinGuarded(FrameId frame) {
  MutexLock lock(pin_stripes_[frame.raw() % kPinStripes].mutex);
  if (descriptors_[frame.raw()].pins.fetch_add(1, std::memory_order_relaxed) == 0) {
    memory_.Protect(size_t{frame.raw()} << kPageShift, kPageSize, true);
  }
  return Address(frame.raw());
}

void FrameArena::UnpinGuarded(FrameId frame) {
  MutexLock lock(pin_stripes_[frame.raw() % kPinStripes].mutex);
  Descriptor& descriptor = descriptors_[frame.raw()];
  const uint32_t before = descriptor.pins.load(std::memory_order_relaxed);
  if (before == 0) Panic(__FILE__, __LINE__, "unpin of a frame that is not pinned");
  if (before == 1) memory_.Protect(size_t{frame.raw()} << kPageShift, kPageSize, false);
  descriptor.pins.store(before - 1, std::memory_order_release);
}

// --- Queries, owners, watermarks ---

uint32_t FrameArena::pins(FrameId frame) const {
  return descriptors_[frame.raw()].pins.load(std::memory_order_acquire);
}
FrameKind FrameArena::kind(FrameId frame) const {
  return descriptors_[frame.raw()].kind.load(std::memory_order_acquire);
}
FrameOwnerId FrameArena::owner(FrameId frame) const {
  return descriptors_[frame.raw()].owner.load(std::memory_order_relaxed);
}
uint64_t FrameArena::tag(FrameId frame) const {
  return descriptors_[frame.raw()].tag.load(std::memory_order_acquire);
}
void FrameArena::SetTag(FrameId frame, uint64_t tag) {
  descriptors_[frame.raw()].tag.store(tag, std::memory_order_release);
}

FrameOwnerId FrameArena::AddOwner(FrameOwner* owner) {
  for (int id = 1; id < kFrameOwnersMax; ++id) {
    FrameOwner* expected = nullptr;
    // Release: a thread that gets the id later also sees the complete owner.
    if (owners_[id].compare_exchange_strong(expected, owner, std::memory_order_acq_rel)) {
      return static_cast<FrameOwnerId>(id);
    }
  }
  Panic(__FILE__, __LINE__, "too many owners of frames");
}

void FrameArena::RemoveOwner(FrameOwnerId id) {
  UZ_CHECK(id > 0 && id < kFrameOwnersMax);
  owners_[id].store(nullptr, std::memory_order_release);
}

void FrameArena::PublishCountsLocked() {
  taken_seen_.store(taken_, std::memory_order_relaxed);
  cold_seen_.store(cold_.count() + isolated_cold_, std::memory_order_relaxed);
}

PageCount FrameArena::frames_in_use() const {
  uint64_t idle = 0;
  for (const Magazine& magazine : magazines_)
    idle += magazine.count.load(std::memory_order_relaxed);
  const uint64_t taken = taken_seen_.load(std::memory_order_relaxed);
  return PageCount(taken > idle ? taken - idle : 0);
}

PageCount FrameArena::frames_populated() const {
  return PageCount(capacity_ - cold_seen_.load(std::memory_order_relaxed));
}

void FrameArena::SetLimit(PageCount limit) {
  MutexLock lock(mutex_);
  limit_ = std::min(limit.raw(), capacity_);
}

void FrameArena::Audit() {
  DrainMagazines();
  MutexLock lock(mutex_);
  warm_.Audit();
  cold_.Audit();
  uint64_t taken = 0;
  uint64_t isolated = 0;
  for (size_t frame = 0; frame < capacity_; ++frame) {
    const Descriptor& descriptor = descriptors_[frame];
    const FrameKind kind = descriptor.kind.load(std::memory_order_acquire);
    const bool free = warm_.Test(frame) || cold_.Test(frame);
    UZ_CHECK(!(warm_.Test(frame) && cold_.Test(frame)));
    UZ_CHECK_EQ(free, kind == FrameKind::kFree);
    if (kind == FrameKind::kIsolated) ++isolated;
    if (!free && kind != FrameKind::kIsolated) ++taken;
    if (free) UZ_CHECK_EQ(descriptor.pins.load(std::memory_order_relaxed), 0u);
  }
  UZ_CHECK_EQ(taken, taken_);
  UZ_CHECK_EQ(taken + isolated + warm_.count() + cold_.count(), capacity_);
}

}  // namespace uzswap
