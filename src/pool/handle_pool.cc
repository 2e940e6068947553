#include "pool/handle_pool.h"

#include <algorithm>
#include <cstring>

namespace uzswap {

Result<void> HandlePool::InitHandles(const PoolOptions& options) {
  UZ_CHECK(options.arena != nullptr);
  const uint64_t objects =
      options.max_objects != 0 ? options.max_objects : options.arena->capacity().raw() * 32;
  const uint64_t capacity = std::min<uint64_t>(objects + 1, UINT32_MAX);
  if (Result<void> made = handles_.Init(capacity); !made.ok()) return made;
  arena_ = options.arena;
  owner_id_ = arena_->AddOwner(this);
  return {};
}

void HandlePool::Finish(uint64_t live_objects) {
  if (arena_ == nullptr) return;
  if (live_objects != 0) {
    PanicOperands(__FILE__, __LINE__, "pool destroyed with live objects", live_objects, 0);
  }
  arena_->RemoveOwner(owner_id_);
}

// --- Pins ---

PinnedObject HandlePool::TryPin(Handle handle) {
  for (;;) {
    PrefetchBytes(handle.index());
    switch (handles_.TryPin(handle)) {
      case PinOutcome::kPinned:
        return MakePin(handle.index());
      case PinOutcome::kStale:
        return {};
      case PinOutcome::kMoving:
        contention_.pin_waits.Add();
        WaitForMove(handle.index());
        break;
    }
  }
}

PinnedObject HandlePool::Pin(Handle handle) {
  PinnedObject pin = TryPin(handle);
  if (!pin) Panic(__FILE__, __LINE__, "stale handle: pin of an object that has been freed");
  return pin;
}

// Starts loading the bytes before the pin. The pin is an atomic operation, which later loads wait
// for. Until the pin is made the location is only a guess. A wrong guess has no effect except a
// useless prefetch.
void HandlePool::PrefetchBytes(uint32_t index) const {
  if (index >= handles_.touched()) return;
  const Location location = handles_.LocationOf(index);
  const size_t end = std::min(location.offset + handles_.SizeOf(index), kPageSize);
  arena_->Prefetch(FrameId(location.frame), location.offset);
  arena_->Prefetch(FrameId(location.frame), end - 1);
}

PinnedObject HandlePool::MakePin(uint32_t index) {
  const Extent extent = Locate(handles_.LocationOf(index), handles_.SizeOf(index));
  PinnedObject pin;
  pin.pool_ = this;
  pin.index_ = index;
  pin.count_ = extent.count;
  for (int i = 0; i < extent.count; ++i) {
    const Extent::Part& part = extent.parts[i];
    pin.frames_[i] = part.frame;
    pin.segments_[i] = {arena_->Map(part.frame) + part.offset, part.length};
  }
  return pin;
}

Extent HandlePool::Locate(const Location& location, size_t size) {
  const auto length = static_cast<uint32_t>(size);
  const uint32_t room = static_cast<uint32_t>(kPageSize) - location.offset;
  Extent extent;
  extent.count = 1;
  extent.parts[0] = {FrameId(location.frame), location.offset, std::min(length, room)};
  if (length <= room) return extent;
  extent.count = 2;
  extent.parts[1] = {SecondFrameOf(location), 0, length - room};
  return extent;
}

// Unmaps the frames first: a mover may take them as soon as the object is unpinned.
void PinnedObject::Release() {
  for (int i = 0; i < count_; ++i) pool_->arena_->Unmap(frames_[i]);
  pool_->handles_.Unpin(index_);
  pool_ = nullptr;
}

// --- Objects ---

AllocateResult HandlePool::Allocate(size_t size, uint64_t owner_key) {
  UZ_CHECK_GT(size, size_t{0});
  if (size > kPageSize) return {AllocateOutcome::kTooLarge, {}};
  return AllocateObject(size, owner_key, 0);
}

AllocateResult HandlePool::Store(std::span<const std::byte> bytes, uint64_t owner_key) {
  UZ_CHECK_GT(bytes.size(), size_t{0});
  if (bytes.size() > kPageSize) return {AllocateOutcome::kTooLarge, {}};
  // The object is published with one pin, so no thread moves it before its bytes are written.
  const AllocateResult result = AllocateObject(bytes.size(), owner_key, 1);
  if (result.ok()) CopyIn(MakePin(result.handle.index()), bytes);
  return result;
}

void HandlePool::Write(Handle handle, std::span<const std::byte> bytes) {
  const PinnedObject pin = Pin(handle);
  if (bytes.size() > pin.size()) {
    PanicOperands(__FILE__, __LINE__, "write beyond the object", bytes.size(), pin.size());
  }
  CopyIn(pin, bytes);
}

void HandlePool::CopyIn(const PinnedObject& pin, std::span<const std::byte> bytes) {
  for (size_t i = 0; i < pin.segment_count() && !bytes.empty(); ++i) {
    const std::span<std::byte> room = pin.Writable(static_cast<int>(i));
    const size_t length = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), length);
    bytes = bytes.subspan(length);
  }
}

void HandlePool::Free(Handle handle) {
  switch (RetireAndRemove(handle)) {
    case RetireOutcome::kRetired:
      return;
    case RetireOutcome::kStale:
      Panic(__FILE__, __LINE__, "stale handle: free of an object that does not exist");
    case RetireOutcome::kDoubleFree:
      Panic(__FILE__, __LINE__, "double free of a pool object");
    case RetireOutcome::kPinned:
      Panic(__FILE__, __LINE__, "free of a pinned object");
  }
}

FreeOutcome HandlePool::TryFree(Handle handle) {
  switch (RetireAndRemove(handle)) {
    case RetireOutcome::kRetired:
      return FreeOutcome::kFreed;
    case RetireOutcome::kPinned:
      return FreeOutcome::kPinned;
    case RetireOutcome::kStale:
    case RetireOutcome::kDoubleFree:
      return FreeOutcome::kStale;
  }
  return FreeOutcome::kStale;
}

size_t HandlePool::SizeOf(Handle handle) {
  if (!handles_.IsLive(handle)) Panic(__FILE__, __LINE__, "stale handle: size of a freed object");
  return handles_.SizeOf(handle.index());
}

uint64_t HandlePool::OwnerOf(Handle handle) {
  if (!handles_.IsLive(handle)) Panic(__FILE__, __LINE__, "stale handle: owner of a freed object");
  return handles_.OwnerOf(handle.index());
}

// --- For the derived classes ---

void HandlePool::CopyBytes(const Extent& from, const Extent& to) {
  int i = 0;
  int j = 0;
  Extent::Part source = from.parts[0];
  Extent::Part target = to.parts[0];
  while (i < from.count && j < to.count) {
    const uint32_t length = std::min(source.length, target.length);
    {
      PinnedFrame source_pin(*arena_, source.frame);
      PinnedFrame target_pin(*arena_, target.frame);
      std::memcpy(target_pin.data() + target.offset, source_pin.data() + source.offset, length);
    }
    source.offset += length;
    source.length -= length;
    target.offset += length;
    target.length -= length;
    if (source.length == 0 && ++i < from.count) source = from.parts[i];
    if (target.length == 0 && ++j < to.count) target = to.parts[j];
  }
}

void HandlePool::CopyFrame(FrameId from, FrameId to) {
  PinnedFrame source(*arena_, from);
  PinnedFrame target(*arena_, to);
  std::memcpy(target.data(), source.data(), kPageSize);
}

void HandlePool::AddContention(PoolStatistics& sum) const {
  sum.pin_waits += contention_.pin_waits.Get();
  sum.lock_waits += contention_.lock_waits.Get();
  sum.locks_passed += contention_.locks_passed.Get();
}

ObjectInfo HandlePool::Describe(uint32_t index) const {
  return {handles_.HandleOf(index), handles_.OwnerOf(index),
          static_cast<uint32_t>(handles_.SizeOf(index))};
}

}  // namespace uzswap
