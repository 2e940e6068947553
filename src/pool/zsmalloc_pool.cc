#include "pool/zsmalloc_pool.h"

#include <new>
#include <utility>

namespace uzswap {

Result<void> ZsmallocPool::Init(const ZsmallocOptions& options) {
  UZ_CHECK(options.chain >= kChainMin && options.chain <= kChainMax);
  UZ_CHECK(options.shards >= 1 && options.shards <= kShards);
  classes_ = SizeClassTable(options.chain);
  shards_in_use_ = options.shards;
  if (Result<void> made = pages_.Init(options.pool.arena->capacity().raw()); !made.ok())
    return made;
  auto memory =
      os::Mapping::Create(Bytes(size_t{kShards} * kGroupsInShard * sizeof(Group)), "size classes");
  if (!memory.ok()) return memory.error();
  group_memory_ = std::move(memory).value();
  groups_ = reinterpret_cast<Group*>(group_memory_.data());
  for (std::atomic<uint64_t>& oldest : oldest_) oldest.store(UINT64_MAX, std::memory_order_relaxed);
  return InitHandles(options.pool);
}

ZsmallocPool::~ZsmallocPool() {
  if (groups_ == nullptr) return;
  uint64_t live = 0;
  for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
    if (!IsBuilt(home / kGroupsInShard)) continue;
    MutexLock lock(GroupAt(home).mutex);
    live += GroupAt(home).counts.objects;
  }
  Finish(live);
  for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
    if (IsBuilt(home / kGroupsInShard)) GroupAt(home).~Group();
  }
}

void ZsmallocPool::BuildShard(uint32_t shard) {
  MutexLock lock(build_mutex_);
  if (shard_built_[shard].load(std::memory_order_relaxed)) return;
  for (uint32_t i = 0; i < kGroupsInShard; ++i) new (&groups_[shard * kGroupsInShard + i]) Group();
  // Release: a thread that sees the flag also sees the groups.
  shard_built_[shard].store(true, std::memory_order_release);
}

size_t ZsmallocPool::FootprintOf(size_t size) const {
  return classes_[classes_.ClassFor(size)].size;
}

// --- Finding an object and its lock ---

// Requires: the group is locked, or the caller has a pin or a move that keeps the object in place.
Location ZsmallocPool::LocationIn(Zspage& page, uint32_t position) {
  const uint32_t begin = position * ClassOf(page).size;
  return {pages_.UnitOf(page), position, View(page).frame(begin >> kPageShift),
          begin & static_cast<uint32_t>(kPageSize - 1)};
}

FrameId ZsmallocPool::SecondFrameOf(const Location& location) {
  Zspage& page = pages_[location.unit];
  return FrameId(View(page).frame(ClassOf(page).LastFrameOf(location.position)));
}

ZsmallocPool::Group* ZsmallocPool::LockHome(Handle handle) {
  return LockHomeOf<Group>(handle, pages_.capacity(),
                           [this](uint32_t unit) -> Group& { return LockUnit(unit); });
}

ZsmallocPool::Group& ZsmallocPool::LockUnit(uint32_t unit) {
  return LockHomeNamedBy(pages_[unit].home,
                         [this](uint32_t home) -> Group& { return BuiltGroupAt(home); });
}

// A zspage that was never used names group 0, whose shard may not be built yet.
ZsmallocPool::Group& ZsmallocPool::BuiltGroupAt(uint32_t home) {
  if (!IsBuilt(home / kGroupsInShard)) BuildShard(home / kGroupsInShard);
  return GroupAt(home);
}

void ZsmallocPool::MoveUnitTo(uint32_t unit, uint32_t home) {
  ChangeHome(pages_[unit].home, static_cast<uint16_t>(home),
             pages_[unit].state == ZspageState::kNeverUsed,
             [this](uint32_t number) -> Group& { return BuiltGroupAt(number); });
}

uint32_t ZsmallocPool::LockUnitOfFrame(FrameId frame, uint32_t* k) UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (arena_->kind(frame) != FrameKind::kPool || arena_->owner(frame) != owner_id_) return 0;
  const uint64_t tag = arena_->tag(frame);
  const auto unit = static_cast<uint32_t>(tag);
  *k = static_cast<uint32_t>(tag >> 32);
  if (unit == 0 || unit >= pages_.touched()) return 0;
  Group& group = LockUnit(unit);
  Zspage& page = pages_[unit];
  if (page.is_used() && *k < ClassOf(page).frames) {
    const ZspageView view = View(page);
    if (view.HasFrame(*k) && view.frame(*k) == frame.raw()) return unit;
  }
  group.mutex.Unlock();
  return 0;
}

void ZsmallocPool::WaitForMove(uint32_t index) {
  PassThroughHomeOf(index, pages_.capacity(),
                    [this](uint32_t unit) -> Group& { return LockUnit(unit); });
}

// --- Freeing ---

RetireOutcome ZsmallocPool::RetireAndRemove(Handle handle) {
  Group* home = LockHome(handle);
  if (home == nullptr)
    return handles_.Retire(handle);  // distinguishes a double free from a stale handle
  Group& group = *home;
  group.mutex.AssertHeld();
  const size_t size = handles_.SizeOf(handle.index());
  const Location location = handles_.LocationOf(handle.index());
  const RetireOutcome outcome = handles_.Retire(handle);
  if (outcome != RetireOutcome::kRetired) {
    group.mutex.Unlock();
    return outcome;
  }
  Zspage& page = pages_[location.unit];
  UZ_CHECK_EQ(View(page).object(location.position), handle.index());
  FreedFrames freed;
  RemoveObject(group, page, location.position, &freed);
  CountRemoval(group.counts, size);
  const bool empty = page.live == 0 && page.state == ZspageState::kListed;
  if (empty) Retire(group, page);
  group.mutex.Unlock();

  handles_.ReturnIndex(handle.index());
  if (empty) pages_.Return(location.unit);
  FreeFrames(freed);
  return outcome;
}

}  // namespace uzswap
