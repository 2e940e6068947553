#include "pool/testing/pool_model.h"

#include <algorithm>
#include <cstring>

#include "frame/testing/frame_arena_peer.h"

namespace uzswap {
namespace {

constexpr const char* kNames[Operation::kKinds] = {
    "store", "allocate", "free", "write", "read",    "pin",  "unpin", "compact",
    "range", "blocks",   "unit", "list",  "release", "fail", "stale", "audit"};

// Sizes at which the layout changes are as likely as all other sizes together.
uint32_t SizeFrom(uint32_t raw) {
  constexpr uint32_t kEdges[] = {1,    31,   32,   33,   48,   63,   64,   65,   2047, 2048, 2049,
                                 3264, 3265, 3632, 3633, 3840, 3841, 4032, 4033, 4095, 4096};
  if (raw % 8 == 0) return kEdges[(raw / 8) % std::size(kEdges)];
  if (raw % 8 < 4) return 1 + (raw / 8) % 400;
  return 1 + (raw / 8) % kPageSize;
}

void Fill(std::vector<std::byte>& bytes, uint32_t size, uint32_t content) {
  bytes.resize(size);
  uint64_t word = content * 0x9e3779b97f4a7c15u;
  size_t at = 0;
  for (; at + 8 <= size; at += 8, word += 0x0101010101010101u) {
    std::memcpy(bytes.data() + at, &word, 8);
  }
  for (; at < size; ++at) bytes[at] = std::byte(content + at);
}

void Require(bool condition, const char* what) {
  if (!condition) Panic(__FILE__, __LINE__, what);
}

}  // namespace

std::string Operation::ToString() const {
  return std::string(kNames[static_cast<size_t>(kind)]) + " " + std::to_string(a) + " " +
         std::to_string(b);
}

Operation RandomOperation(Rng& rng, uint64_t phase) {
  using Kind = Operation::Kind;
  Operation operation;
  operation.a = static_cast<uint32_t>(rng.Next());
  operation.b = static_cast<uint32_t>(rng.Next());
  const uint64_t roll = rng.Below(1000);
  const uint64_t stores = phase % 2 == 0 ? 380 : 260;  // of 640 that change the population
  if (roll < stores) {
    operation.kind = roll % 8 == 0 ? Kind::kAllocate : Kind::kStore;
  } else if (roll < 640) {
    operation.kind = Kind::kFree;
  } else if (roll < 760) {
    operation.kind = Kind::kRead;
  } else if (roll < 860) {
    operation.kind = Kind::kWrite;
  } else if (roll < 980) {
    constexpr Kind kFrequent[] = {Kind::kPin,     Kind::kUnpin,       Kind::kUnpin,
                                  Kind::kCompact, Kind::kReclaimUnit, Kind::kListFrame,
                                  Kind::kUseStale};
    operation.kind = kFrequent[roll % std::size(kFrequent)];
  } else {
    constexpr Kind kRare[] = {Kind::kReclaimRange, Kind::kReclaimBlocks, Kind::kReleaseFrames,
                              Kind::kFailNth};
    operation.kind = kRare[roll % std::size(kRare)];
  }
  if (rng.OneIn(2000)) operation.kind = Kind::kAudit;
  return operation;
}

PoolModel::PoolModel(PoolVariant kind, FrameAccess access) {
  Require(arena_.Init({.capacity = PageCount(kFrames), .access = access}).ok(), "model: arena");
  pool_ = MakePool(kind, {.arena = &arena_, .max_objects = kObjectsMax});
  Require(pool_ != nullptr, "model: pool");
  where_.resize(kObjectsMax + 2);
  for (uint64_t owner = kObjectsMax + 1; owner > 0; --owner) free_owners_.push_back(owner);
}

PoolModel::~PoolModel() {
  held_.clear();
  for (Object& object : objects_) object.pins = 0;
  while (!objects_.empty()) Free(objects_.size() - 1);
  pool_->Audit();
  arena_.Audit();
  Require(arena_.frames_in_use().raw() == 0, "model: an empty pool holds frames");
}

void PoolModel::Perform(const Operation& operation) {
  using Kind = Operation::Kind;
  const uint32_t a = operation.a;
  const uint32_t b = operation.b;
  const size_t which = objects_.empty() ? 0 : a % objects_.size();
  switch (operation.kind) {
    case Kind::kStore:
    case Kind::kAllocate:
      return Store(SizeFrom(a), b, operation.kind == Kind::kAllocate);
    case Kind::kListFrame:
      return ListFrame(FrameId(a % kFrames));
    case Kind::kReclaimUnit:
      return ReclaimUnit(b);
    case Kind::kReclaimRange:
      return ReclaimRange(a % kFrames, b % 64 + 1);
    case Kind::kReclaimBlocks:
      return ReclaimBlocks(a % 4 + 1);
    case Kind::kUseStale:
      return UseStale(a);
    case Kind::kReleaseFrames:
      static_cast<void>(arena_.ReleaseFreeFrames(PageCount(a % 64)));
      return;
    case Kind::kFailNth:
      return FrameArenaPeer::FailNth(arena_, a % 20);
    case Kind::kCompact:
      static_cast<void>(pool_->CompactStep(a % 64));
      return;
    case Kind::kAudit:
      return CheckEverything();
    case Kind::kUnpin:
      if (held_.empty()) return;
      std::swap(held_[a % held_.size()], held_.back());
      --objects_[IndexOf(held_.back().owner)].pins;
      held_.pop_back();
      return;
    case Kind::kFree:
    case Kind::kWrite:
    case Kind::kRead:
    case Kind::kPin:
      break;
  }
  if (objects_.empty()) return;
  Object& object = objects_[which];
  if (operation.kind == Kind::kFree) {
    if (object.pins == 0) Free(which);
  } else if (operation.kind == Kind::kWrite) {
    object.content = b;
    Fill(expected_, object.size, b);
    pool_->Write(object.handle, expected_);
  } else {
    PinnedObject pin = pool_->Pin(object.handle);
    CheckContent(object, pin);
    if (operation.kind == Kind::kRead || held_.size() >= 8) return;
    ++object.pins;
    held_.push_back({object.owner, std::move(pin)});
  }
}

size_t PoolModel::IndexOf(uint64_t owner) const {
  Require(owner < where_.size() && where_[owner] != 0, "model: unknown owner key");
  return where_[owner] - 1;
}

void PoolModel::Store(uint32_t size, uint32_t content, bool two_steps) {
  const uint64_t owner = free_owners_.back();
  Fill(expected_, size, content);
  const AllocateResult result =
      two_steps ? pool_->Allocate(size, owner) : pool_->Store(expected_, owner);
  Require(result.outcome != AllocateOutcome::kTooLarge, "model: refused as too large");
  if (!result.ok()) return;
  Require(result.handle.valid(), "model: invalid handle");
  if (two_steps) pool_->Write(result.handle, expected_);
  free_owners_.pop_back();
  where_[owner] = static_cast<uint32_t>(objects_.size() + 1);
  objects_.push_back({result.handle, owner, size, content, 0});
}

void PoolModel::Free(size_t which) {
  pool_->Free(objects_[which].handle);
  Forget(which);
}

void PoolModel::Forget(size_t which) {
  const Object gone = objects_[which];
  stale_.push_back(gone.handle);
  if (stale_.size() > 100) stale_.erase(stale_.begin(), stale_.begin() + 50);
  where_[gone.owner] = 0;
  free_owners_.push_back(gone.owner);
  if (which + 1 != objects_.size()) {
    objects_[which] = objects_.back();
    where_[objects_[which].owner] = static_cast<uint32_t>(which + 1);
  }
  objects_.pop_back();
}

void PoolModel::CheckContent(const Object& object, const PinnedObject& pin) {
  Require(pin.size() == object.size, "model: wrong size");
  Fill(expected_, object.size, object.content);
  size_t at = 0;
  for (size_t i = 0; i < pin.segment_count(); ++i) {
    const std::span<const std::byte> segment = pin.segment(i);
    Require(std::memcmp(segment.data(), expected_.data() + at, segment.size()) == 0,
            "model: wrong bytes");
    at += segment.size();
  }
}

// Frees some objects, moves some, and keeps some, like a writeback engine.
void PoolModel::ReclaimUnit(uint32_t fates) {
  ObjectInfo list[kObjectsInUnitMax];
  const uzswap::ReclaimUnit unit = pool_->BeginReclaim(list);
  if (!unit.valid()) return;
  bool all_gone = true;
  for (uint32_t i = 0; i < unit.objects; ++i) {
    const size_t which = IndexOf(list[i].owner_key);
    const Object& object = objects_[which];
    Require(object.handle == list[i].handle && object.size == list[i].size, "model: wrong list");
    const uint32_t fate = (fates >> (i % 16)) % 4;
    if (fate < 2) {
      const FreeOutcome freed = pool_->TryFree(object.handle);
      Require(freed == (object.pins > 0 ? FreeOutcome::kPinned : FreeOutcome::kFreed),
              "model: wrong outcome of TryFree");
      if (freed == FreeOutcome::kFreed) Forget(which);
      all_gone = all_gone && freed == FreeOutcome::kFreed;
    } else if (fate == 2) {
      const MoveOutcome moved = pool_->TryMoveOut(object.handle);
      Require(moved != MoveOutcome::kStale, "model: wrong outcome of TryMoveOut");
      Require(object.pins == 0 || moved != MoveOutcome::kMoved, "model: a pinned object moved");
      all_gone = all_gone && moved == MoveOutcome::kMoved;
    } else {
      all_gone = false;
    }
  }
  const uint32_t frames = pool_->EndReclaim(unit);
  Require(frames <= unit.frames && (!all_gone || frames == unit.frames),
          "model: frames of an emptied unit were not freed");
}

void PoolModel::ReclaimRange(uint32_t first, uint32_t count) {
  count = std::min(count, kFrames - first);
  ReclaimRangeResult result = arena_.ReclaimRange(FrameId(first), PageCount(count));
  if (!result.complete()) {
    const RangeReport& report = result.report;
    Require(report.left_pinned + report.left_no_space > 0 || report.left_busy > 0,
            "model: a range failed for no reason");
    Require(!held_.empty() || report.left_no_space > 0, "model: nothing was pinned");
    return;
  }
  for (uint32_t i = 0; i < count; ++i) {
    ObjectInfo list[kObjectsInUnitMax];
    Require(pool_->ListObjectsInFrame(FrameId(first + i), list) == 0,
            "model: objects in an isolated frame");
  }
  result.range.Discard();
}

void PoolModel::ReclaimBlocks(size_t max_blocks) {
  const uint64_t populated = arena_.frames_populated().raw();
  const uint64_t in_use = arena_.frames_in_use().raw();
  const uint64_t before = reclaimer_.Snapshot().blocks_released;
  const uint64_t released = reclaimer_.ReclaimBlocks(max_blocks).raw();
  const uint64_t blocks = reclaimer_.Snapshot().blocks_released - before;
  Require(blocks <= max_blocks && released <= blocks * kFramesPerBlock,
          "model: more blocks were released than allowed");
  Require((blocks == 0) == (released == 0), "model: a block was released without its memory");
  Require(arena_.frames_populated().raw() == populated - released,
          "model: the arena did not shrink by what was released");
  Require(arena_.frames_in_use().raw() == in_use, "model: block reclaim changed what is in use");
}

void PoolModel::ListFrame(FrameId frame) {
  pool_->ForEachObjectInFrame(frame, [this](const ObjectInfo& info) {
    Require(objects_[IndexOf(info.owner_key)].handle == info.handle, "model: wrong owner key");
  });
}

void PoolModel::UseStale(uint32_t a) {
  if (stale_.empty()) return;
  const Handle handle = stale_[a % stale_.size()];
  Require(!pool_->TryPin(handle), "model: a stale handle was pinned");
  Require(pool_->TryFree(handle) == FreeOutcome::kStale, "model: a stale handle was freed");
  Require(pool_->TryMoveOut(handle) == MoveOutcome::kStale, "model: a stale handle was moved");
}

void PoolModel::CheckEverything() {
  held_.clear();
  uint64_t bytes = 0;
  for (Object& object : objects_) {
    object.pins = 0;
    Require(pool_->OwnerOf(object.handle) == object.owner, "model: wrong owner");
    Require(pool_->SizeOf(object.handle) == object.size, "model: wrong size");
    CheckContent(object, pool_->Pin(object.handle));
    bytes += object.size;
  }
  const PoolStatistics statistics = pool_->Snapshot();
  Require(statistics.objects == objects_.size(), "model: wrong count of objects");
  Require(statistics.object_bytes == bytes, "model: wrong sum of sizes");
  Require(statistics.frames == arena_.frames_in_use().raw(), "model: wrong count of frames");
  pool_->Audit();
  arena_.Audit();
}

}  // namespace uzswap
