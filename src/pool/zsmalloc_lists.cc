// The lists and sums of a zsmalloc pool's groups, and the audit that checks them.
#include <algorithm>
#include <bit>

#include "pool/zsmalloc_pool.h"

namespace uzswap {

// --- Lists ---

uint8_t ZsmallocPool::ListFor(const Zspage& page, const SizeClass& size_class) {
  if (page.live == size_class.positions || page.live == 0) return kNoList;
  const uint32_t held = static_cast<uint32_t>(std::popcount(page.present)) << kPageShift;
  const uint32_t tenth = kTenths * page.live * size_class.size / held;
  UZ_CHECK_LT(tenth, kTenths + 1);
  const uint32_t first = page.live < page.backed ? 0 : kTenths;
  return static_cast<uint8_t>(first + (tenth < kTenths ? tenth : kTenths - 1));
}

void ZsmallocPool::Count(Group& group, const Zspage& page) {
  if (page.state != ZspageState::kListed) return;
  group.live += page.live;
  group.backed += page.backed;
  group.frames += static_cast<uint64_t>(std::popcount(page.present));
}

void ZsmallocPool::Uncount(Group& group, const Zspage& page) {
  if (page.state != ZspageState::kListed) return;
  group.live -= page.live;
  group.backed -= page.backed;
  group.frames -= static_cast<uint64_t>(std::popcount(page.present));
}

void ZsmallocPool::NotePlenty(Group& group) {
  const uint32_t number = HomeOf(group) % kGroupsInShard;
  const auto bit = static_cast<uint8_t>(1u << (HomeOf(group) / kGroupsInShard));
  const uint64_t size = classes_[number].size;
  const uint64_t free = (group.backed - group.live) * size;
  const uint64_t much = std::max(kPlenty, group.backed * size / kPlentyShare);
  const bool plenty = (plenty_[number].load(std::memory_order_relaxed) & bit) != 0;
  if (!plenty && free >= much) plenty_[number].fetch_or(bit, std::memory_order_relaxed);
  if (plenty && free <= much / 2) {
    plenty_[number].fetch_and(static_cast<uint8_t>(~bit), std::memory_order_relaxed);
  }
}

void ZsmallocPool::Unlist(Group& group, Zspage& page) {
  if (page.list == kNoList) return;
  FullnessList& list = group.lists[page.list];
  list.Remove(page);
  if (list.empty()) group.list_mask.fetch_and(~(1u << page.list), std::memory_order_relaxed);
  page.list = kNoList;
}

// Puts a listed zspage on the list for its fullness.
void ZsmallocPool::List(Group& group, Zspage& page) {
  NotePlenty(group);
  const uint8_t wanted = ListFor(page, ClassOf(page));
  if (wanted == page.list) return;
  Unlist(group, page);
  if (wanted == kNoList) return;
  group.lists[wanted].PushFront(page);
  page.list = wanted;
  group.list_mask.fetch_or(1u << wanted, std::memory_order_relaxed);
}

void ZsmallocPool::AddObject(Group& group, Zspage& page, uint32_t position, uint32_t index) {
  Uncount(group, page);
  View(page).AddObject(position, index);
  Count(group, page);
  if (page.state == ZspageState::kListed) List(group, page);
}

void ZsmallocPool::RemoveObject(Group& group, Zspage& page, uint32_t position, FreedFrames* freed) {
  const SizeClass& size_class = ClassOf(page);
  ZspageView view = View(page);
  Uncount(group, page);
  view.RemoveObject(position);
  for (uint32_t k = size_class.FirstFrameOf(position); k <= size_class.LastFrameOf(position); ++k) {
    if (view.CountLiveIn(k) != 0) continue;
    UZ_CHECK_LT(freed->count, FreedFrames::kMax);
    freed->frames[freed->count++] = view.frame(k);
    view.RemoveFrame(k);
    --group.counts.frames;
  }
  Count(group, page);
  if (page.state == ZspageState::kListed) List(group, page);
}

void ZsmallocPool::MakeYoungest(Group& group, Zspage& page) {
  if (++group.additions % kStampEvery == 0) clock_.fetch_add(1, std::memory_order_relaxed);
  page.stamp.store(clock_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  if (group.ages.front() == &page) return;
  if (page.age_link.linked()) group.ages.Remove(page);
  group.ages.PushFront(page);
  PublishOldest(group);
}

void ZsmallocPool::PublishOldest(Group& group) {
  const Zspage* oldest = group.ages.back();
  oldest_[HomeOf(group)].store(
      oldest != nullptr ? oldest->stamp.load(std::memory_order_relaxed) : UINT64_MAX,
      std::memory_order_relaxed);
}

// Takes a zspage out of use. It is then on no list, and counts only as frames and as a unit.
void ZsmallocPool::Detach(Group& group, Zspage& page) {
  Unlist(group, page);
  group.ages.Remove(page);
  PublishOldest(group);
  Uncount(group, page);
  NotePlenty(group);
  page.state = ZspageState::kUnderReclaim;
}

void ZsmallocPool::Attach(Group& group, Zspage& page, bool youngest) {
  page.state = ZspageState::kListed;
  Count(group, page);
  List(group, page);
  if (youngest) {
    MakeYoungest(group, page);
    return;
  }
  const bool older = page.stamp.load(std::memory_order_relaxed) <=
                     oldest_[HomeOf(group)].load(std::memory_order_relaxed);
  if (older) group.ages.PushBack(page);
  if (!older) group.ages.PushFront(page);
  PublishOldest(group);
}

void ZsmallocPool::Retire(Group& group, Zspage& page) {
  UZ_CHECK(page.live == 0 && page.present == 0);
  if (page.state == ZspageState::kListed) {
    Unlist(group, page);
    if (page.age_link.linked()) group.ages.Remove(page);
    PublishOldest(group);
  }
  page.state = ZspageState::kUnused;
  --group.counts.units;
}

void ZsmallocPool::FreeFrames(const FreedFrames& freed) {
  for (uint32_t i = 0; i < freed.count; ++i) arena_->Free(FrameId(freed.frames[i]));
}

// --- Statistics and checks ---

size_t ZsmallocPool::ListObjects(Zspage& page, uint32_t first, uint32_t end,
                                 std::span<ObjectInfo> objects) {
  const ZspageView view = View(page);
  size_t count = 0;
  for (uint32_t position = view.NextLive(first, end); position != kNoPosition;
       position = view.NextLive(position + 1, end)) {
    if (count < objects.size()) objects[count] = Describe(view.object(position));
    ++count;
  }
  return count;
}

size_t ZsmallocPool::ListObjectsInFrame(FrameId frame, std::span<ObjectInfo> objects) {
  uint32_t k = 0;
  const uint32_t unit = LockUnitOfFrame(frame, &k);
  if (unit == 0) return 0;
  Zspage& page = pages_[unit];
  Group& group = GroupAt(page.home.load(std::memory_order_relaxed));
  group.mutex.AssertHeld();
  const SizeClass& size_class = ClassOf(page);
  const size_t count = ListObjects(page, size_class.FirstIn(k), size_class.EndIn(k), objects);
  group.mutex.Unlock();
  return count;
}

PoolStatistics ZsmallocPool::Snapshot() {
  PoolStatistics sum;
  uint64_t built = 0;
  for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
    if (!IsBuilt(home / kGroupsInShard)) continue;
    ++built;
    MutexLock lock(GroupAt(home).mutex);
    sum += GroupAt(home).counts;
  }
  AddContention(sum);
  sum.metadata_bytes = handles_.touched() * HandleTable::record_size() + pages_.metadata_bytes() +
                       built * sizeof(Group) + sizeof(*this) +
                       sum.frames * FrameArena::descriptor_size();
  return sum;
}

void ZsmallocPool::AuditGroup(Group& group, uint64_t* objects, uint64_t* frames) {
  MutexLock lock(group.mutex);
  group.ages.Audit();
  const uint64_t frames_before = *frames;
  uint64_t live = 0;
  uint64_t backed = 0;
  size_t listed = 0;
  for (Zspage* page = group.ages.front(); page != nullptr; page = group.ages.Next(*page)) {
    UZ_CHECK(page->state == ZspageState::kListed);
    UZ_CHECK_EQ(page->home.load(std::memory_order_relaxed), HomeOf(group));
    UZ_CHECK_EQ(page->list, ListFor(*page, ClassOf(*page)));
    const ZspageView view = View(*page);
    view.Audit();
    live += page->live;
    backed += page->backed;
    *frames += static_cast<uint64_t>(std::popcount(page->present));
    if (page->list != kNoList) ++listed;
    for (uint32_t k = 0; k < ClassOf(*page).frames; ++k) {
      if (!view.HasFrame(k)) continue;
      const uint64_t tag = (uint64_t{k} << 32) | pages_.UnitOf(*page);
      UZ_CHECK_EQ(arena_->tag(FrameId(view.frame(k))), tag);
    }
    for (uint32_t position = view.NextLive(0, kPositionsMax); position < ClassOf(*page).positions;
         position = view.NextLive(position + 1, ClassOf(*page).positions)) {
      UZ_CHECK(handles_.LocationOf(view.object(position)) == LocationIn(*page, position));
      UZ_CHECK_LE(handles_.SizeOf(view.object(position)), size_t{ClassOf(*page).size});
    }
  }
  size_t on_lists = 0;
  for (uint32_t i = 0; i < kLists; ++i) {
    group.lists[i].Audit();
    on_lists += group.lists[i].size();
    UZ_CHECK_EQ(group.lists[i].empty(),
                ((group.list_mask.load(std::memory_order_relaxed) >> i) & 1) == 0);
  }
  UZ_CHECK_EQ(listed, on_lists);
  UZ_CHECK_EQ(live, group.live);
  UZ_CHECK_EQ(backed, group.backed);
  UZ_CHECK_EQ(*frames - frames_before, group.frames);
  *objects += live;
}

void ZsmallocPool::Audit() {
  uint64_t objects = 0;
  uint64_t frames = 0;
  for (uint32_t home = 0; home < kShards * kGroupsInShard; ++home) {
    if (IsBuilt(home / kGroupsInShard)) AuditGroup(GroupAt(home), &objects, &frames);
  }
  UZ_CHECK_EQ(objects, handles_.CountLiveForAudit());
  UZ_CHECK_EQ(frames, Snapshot().frames);
}

}  // namespace uzswap
