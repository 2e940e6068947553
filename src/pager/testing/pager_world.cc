#include "pager/testing/pager_world.h"

#include <cstring>

#include "base/fold_statistics.h"
#include "reclaim/testing/clock_policy_peer.h"
#include "reclaim/testing/reclaimer_peer.h"
#include "vm/testing/page_table_peer.h"

namespace uzswap {
namespace {

constexpr int kPassesMax = 200;
constexpr uint32_t kFiller = 99;  // a thread of the program

const PagerWorld::Page kZeroes{};

}  // namespace

bool PagerTestPeer::ServePass(Pager& pager) {
  while (true) {
    Work work;
    bool has_work = false;
    const bool finished = BeginPass(pager, &work, &has_work);
    if (!has_work) return finished;
    pager.DoWork(&work);
  }
}

bool PagerTestPeer::BeginPass(Pager& pager, Work* work, bool* has_work) {
  uint32_t thread = 0;
  MutexLock lock(pager.mutex_);
  const Resolution pass = pager.ServeLocked(&thread);
  *has_work = !pager.working_ && pager.BeginWork(pass, work);
  return pass == Resolution::kResolved;
}

bool PagerTestPeer::Adopt(Pager& pager, uint64_t start, uint64_t end) {
  MutexLock lock(pager.mutex_);
  pager.ReadMessages();
  return pager.map_.registrar().Adopt({start, end});
}

bool PagerTestPeer::IsRegistered(Pager& pager, uint64_t address) {
  return pager.ResidenceOf(address) != Residence::kNotRegistered;
}

Resolution PagerTestPeer::ResolveEmptyFrame(Pager& pager) {
  MutexLock lock(pager.mutex_);
  StagingFrames& frames = pager.reclaimer_.frames();
  return pager.handler_.Resolve(frames.AddressOf(frames.FindEmpty(1).first), Access::kWrite,
                                pager.serving_);
}

void PagerTestPeer::RefuseRanges(Pager& pager) {
  MutexLock lock(pager.mutex_);
  PageTablePeer::RefuseRanges(pager.map_.table());
}

PageState PagerTestPeer::StateOf(Pager& pager, uint64_t address) {
  MutexLock lock(pager.mutex_);
  return pager.map_.table().EntryOf(address).state();
}

bool PagerTestPeer::ContentOf(Pager& pager, CacheContext& context, uint64_t address,
                              std::byte* page) {
  MutexLock lock(pager.mutex_);
  memset(page, 0, kPageSize);
  const PageEntry entry = pager.map_.table().EntryOf(address);
  switch (entry.state()) {
    case PageState::kUntracked:
      return true;
    case PageState::kResident:
      return false;
    case PageState::kStaged:
    case PageState::kInFlight:
      memcpy(page, pager.reclaimer_.frames().data(entry.frame()), kPageSize);
      return true;
    case PageState::kCompressed:
      // Twice, as the pager does. A poisoned page has no content, which the comparison shows.
      for (int i = 0; i < 2; ++i) {
        const LoadedPage loaded = pager.parts_.store->Load(
            context, entry.slot(), PageBytes(page, kPageSize), LoadFrom::kAnywhere);
        if (loaded == LoadedPage::kLoaded) break;
      }
      return true;
    case PageState::kSameFilled:
      FillPageWithWord(entry.pattern(), {page, kPageSize});
      return true;
  }
  return false;
}

void PagerTestPeer::AimAt(Pager& pager, uint64_t address) {
  MutexLock lock(pager.mutex_);
  ClockPolicyPeer::Aim(ReclaimerPeer::PolicyOf(pager.reclaimer_), address);
}

uint8_t PagerTestPeer::AgeOf(Pager& pager, uint64_t address) {
  MutexLock lock(pager.mutex_);
  const RegisteredRange* range = pager.map_.table().Find(address);
  return range == nullptr
             ? 0
             : ReclaimerPeer::PolicyOf(pager.reclaimer_).AgeOf(range->IndexOf(address));
}

void PagerTestPeer::StoreBatch(Pager& pager, CacheContext& context, Batch* batch) {
  PageStoreSink sink;
  sink.Attach(pager.parts_.store);
  Evictor::Store(sink, context, batch, Evictor::KeptOnDisk::kRead);
}

PagerWorld::PagerWorld(const Options& options) : options_(options) {
  if (options_.codec == nullptr) options_.codec = CodecByName("lz4");
  UZ_CHECK(arena.Init({.capacity = PageCount(options_.pool_frames)}).ok());
  UZ_CHECK(pool.Init({.arena = &arena}).ok());
  InitCache();
  UZ_CHECK(store.Init(&cache, &arena, kSlots).ok());
  headroom.Set(options_.headroom);
  UZ_CHECK(context.Init(cache).ok());
  UZ_CHECK(looking_.Init(cache).ok());
  UZ_CHECK(pager.Init(MakeParts()).ok());
}

void PagerWorld::InitCache() {
  CacheOptions wishes;
  wishes.codec = options_.codec;
  wishes.dictionaries = &dictionaries;
  wishes.keep_incompressible = options_.device_bytes > 0;
  wishes.object_max = PageStore::kObjectMax;
  wishes.readahead_frames = 16;
  wishes.index = {.areas_max = 2, .nodes_max = 16, .leaves_max = kSlots / EntryLeaf::kWords};
  UZ_CHECK(cache.Init(pool, wishes).ok());
  UZ_CHECK(writing_.Init(cache).ok());
  const bool has_device = options_.device_bytes > 0;
  if (has_device) {
    UZ_CHECK(device.Init(options_.device_bytes, 4).ok());
    UZ_CHECK(backing.Init(device, cache, {.segment_size = 64 << 10}).ok());
  }
  UZ_CHECK(writeback.Init(cache, writing_, has_device ? &backing : nullptr, {}).ok());
}

void PagerWorld::WriteBackAll() {
  for (int i = 0; i < kPassesMax && writeback.Step() == StepOutcome::kWorked; ++i) {
  }
  writeback.WaitForWrites();
}

Pager::Parts PagerWorld::MakeParts() {
  Pager::Parts parts;
  parts.port = &fake;
  parts.release_port = &fake.release_port();
  parts.address_space = &fake;
  parts.store = &store;
  parts.statistics = &statistics;
  parts.headroom = &headroom;
  parts.watermarks.frames = PageCount(options_.frames);
  parts.watermarks.inactive = options_.frames / 4;
  parts.watermarks.room_low = static_cast<int64_t>(options_.frames / 16);
  parts.watermarks.room_high = static_cast<int64_t>(options_.frames / 8);
  parts.watermarks.overdraft = options_.overdraft;
  parts.wake_daemon = [](void*) {};
  parts.callback_argument = this;
  parts.page_poisoned = [](void* self, uint64_t address, int) {
    auto* world = static_cast<PagerWorld*>(self);
    world->poisoned_.push_back((address - kBase) >> kPageShift);
    // The program must not be killed by it before it was reported.
    if (world->fake.IsPoisoned(address)) world->Fail("a poisoned page was reported too late");
  };
  parts.refresh_headroom = [](void* world) { ++static_cast<PagerWorld*>(world)->refreshes; };
  parts.relief_comes = [](void* world) { return static_cast<PagerWorld*>(world)->relief_comes; };
  return parts;
}

PagerWorld::~PagerWorld() {
  const bool was_ok = ok();
  UnmapEverything();
  device.Heal();
  device.Release();
  writeback.WaitForWrites();
  store.Close(context);
  if (was_ok && !ok() && check_at_end_) Panic(__FILE__, __LINE__, failure_.c_str());
}

bool PagerWorld::UnmapEverything() {
  Finish(BeginUnmap(0, (kEnd - kBase) >> kPageShift));
  pager.Audit();
  writeback.WaitForWrites();
  const Pager::Snapshot snapshot = pager.TakeSnapshot();
  if (snapshot.staged != 0) Fail("frames are cached for nobody");
  if (snapshot.resident.raw() != 0) Fail("pages of unmapped memory are resident");
  if (pool.Snapshot().objects != 0) Fail("objects of unmapped memory are in the pool");
  if (statistics.stored_pages.Get() != 0) Fail("stored_pages does not go back to zero");
  if (statistics.same_filled_pages.Get() != 0) Fail("same_filled_pages does not go back to zero");
  if (store.slots_in_use() != 0) Fail("slots of unmapped memory are in use");
  return ok();
}

const PagerWorld::Page& PagerWorld::Expected(uint64_t page) {
  const auto found = model_.find(page);
  return found == model_.end() ? kZeroes : *found->second;
}

void PagerWorld::ForgetModel(uint64_t page, uint64_t pages) {
  model_.erase(model_.lower_bound(page), model_.lower_bound(page + pages));
}

void PagerWorld::Map(uint64_t page, uint64_t pages, os::FakeProtection protection) {
  fake.Map(At(page), pages << kPageShift, protection);
}

void PagerWorld::MapAndAdopt(uint64_t page, uint64_t pages) {
  Map(page, pages);
  if (!Adopt(page, pages)) Fail("a mapping was not adopted");
}

void PagerWorld::Fill(uint64_t page, uint64_t pages, PageKind kind, uint64_t seed) {
  for (uint64_t i = 0; i < pages; ++i) {
    Page content;
    FillPageOf(kind, seed + i, content);
    FillBytes(page + i, content);
  }
}

void PagerWorld::FillBytes(uint64_t page, const Page& content) {
  for (int pass = 0; fake.Store(kFiller, At(page), content) != Access::kDone; ++pass) {
    Pump();
    if (pass == kPassesMax) return Fail("page could not be written: " + Describe(page));
  }
  model_[page] = std::make_unique<Page>(content);
}

std::string PagerWorld::Describe(uint64_t page) {
  return std::to_string(page) + " (state " + std::to_string(static_cast<int>(StateOf(page))) +
         (fake.IsPresent(At(page)) ? ", present" : ", missing") +
         (fake.IsRegistered(At(page)) ? ", registered" : "") +
         (PagerTestPeer::IsRegistered(pager, At(page)) ? ", registered" : "") +
         (fake.Quiet() ? "" : ", a change is announced") + ", " +
         std::to_string(pager.TakeSnapshot().resident.raw()) + " resident, " +
         std::to_string(pager.TakeSnapshot().staged) + " cached)";
}

PagerWorld::Access PagerWorld::TryWrite(uint32_t thread, uint64_t page, std::byte value) {
  const uint64_t offset = static_cast<uint64_t>(value) * 13 % kPageSize;
  const Access access = fake.Store(thread, At(page) + offset, {&value, 1});
  if (access != Access::kDone) return access;
  std::unique_ptr<Page>& slot = model_[page];
  if (slot == nullptr) slot = std::make_unique<Page>();
  (*slot)[offset] = value;
  if (UnderDiscard(page)) AcceptEmptied(page, offset, *slot);
  written_[page] = true;
  return access;
}

// While a discard is under way the page may have been emptied already when it was written to.
void PagerWorld::AcceptEmptied(uint64_t page, uint64_t offset, Page& expected) {
  Page emptied = kZeroes;
  emptied[offset] = expected[offset];
  Page seen;
  if (fake.Peek(At(page), seen) && seen == emptied) expected = emptied;
}

PagerWorld::Access PagerWorld::TryRead(uint32_t thread, uint64_t page) {
  Page seen;
  const Access access = fake.Load(thread, At(page), seen);
  if (access == Access::kDone && !UnderDiscard(page) && seen != Expected(page)) {
    Fail("the program read wrong bytes from page " + std::to_string(page));
  }
  return access;
}

bool PagerWorld::Write(uint64_t page, std::byte value, uint32_t thread) {
  for (int pass = 0; pass < kPassesMax; ++pass) {
    const Access access = TryWrite(thread, page, value);
    if (access != Access::kWaiting) return access == Access::kDone;
    Pump();
  }
  Fail("a write never got through to page " + Describe(page));
  return false;
}

bool PagerWorld::Read(uint64_t page, uint32_t thread) {
  for (int pass = 0; pass < kPassesMax; ++pass) {
    const Access access = TryRead(thread, page);
    if (access != Access::kWaiting) return access == Access::kDone;
    Pump();
  }
  Fail("a read never got through to page " + Describe(page));
  return false;
}

PagerWorld::ChangeId PagerWorld::BeginUnmap(uint64_t page, uint64_t pages) {
  ForgetModel(page, pages);
  return fake.BeginUnmap(At(page), pages << kPageShift);
}

PagerWorld::ChangeId PagerWorld::BeginReplace(uint64_t page, uint64_t pages) {
  ForgetModel(page, pages);
  return fake.BeginReplace(At(page), pages << kPageShift);
}

PagerWorld::ChangeId PagerWorld::BeginRemap(uint64_t page, uint64_t pages, uint64_t new_pages,
                                            uint64_t target, bool keep_source) {
  ForgetModel(target, new_pages);
  for (uint64_t i = 0; i < pages; ++i) {
    auto moved = model_.extract(page + i);
    if (moved.empty()) continue;
    moved.key() = target + i;
    model_.insert(std::move(moved));
  }
  return fake.BeginRemap(At(page), pages << kPageShift, new_pages << kPageShift, At(target),
                         keep_source);
}

PagerWorld::ChangeId PagerWorld::BeginDiscard(uint64_t page, uint64_t pages) {
  for (uint64_t i = 0; i < pages; ++i) written_.erase(page + i);
  const ChangeId change = fake.BeginDiscard(At(page), pages << kPageShift);
  const Discard discard{change, page, pages};
  if (fake.StateOf(change) == os::FakeUserFault::ChangeState::kOver) {
    ResolveDiscard(discard);
  } else {
    discards_.push_back(discard);
  }
  return change;
}

bool PagerWorld::UnderDiscard(uint64_t page) const {
  for (const Discard& discard : discards_) {
    if (page >= discard.page && page < discard.page + discard.pages) return true;
  }
  return false;
}

bool PagerWorld::Step(ChangeId change) {
  const bool zaps = fake.StateOf(change) == os::FakeUserFault::ChangeState::kToZap;
  const bool moved = fake.Step(change);
  for (size_t i = 0; zaps && i < discards_.size(); ++i) {
    if (discards_[i].change != change) continue;
    const Discard discard = discards_[i];
    discards_.erase(discards_.begin() + static_cast<ptrdiff_t>(i));
    ResolveDiscard(discard);
  }
  return moved;
}

void PagerWorld::ResolveDiscard(const Discard& discard) {
  for (uint64_t page = discard.page; page < discard.page + discard.pages; ++page) {
    if (UnderDiscard(page)) continue;  // another one decides
    Page held;
    if (!PagerTestPeer::ContentOf(pager, looking_, At(page), held.data())) held = kZeroes;
    const bool kept = held == Expected(page) && written_.contains(page);
    if (!kept) model_.erase(page);
  }
}

bool PagerWorld::Finish(ChangeId change) {
  for (int pass = 0; pass < kPassesMax; ++pass) {
    while (Step(change)) {
    }
    if (fake.StateOf(change) == os::FakeUserFault::ChangeState::kOver) {
      Pump();
      return true;
    }
    Pump();
  }
  Fail("a change of mappings never ended");
  return false;
}

void PagerWorld::BeginOpenWork() {
  DoOpenWork();
  PagerTestPeer::BeginPass(pager, &open_work_, &has_open_work_);
}

void PagerWorld::DoOpenWork() {
  if (has_open_work_) PagerTestPeer::DoWork(pager, &open_work_);
  has_open_work_ = false;
}

bool PagerWorld::Pump() {
  DoOpenWork();
  for (int pass = 0; pass < kPassesMax; ++pass) {
    if (PagerTestPeer::ServePass(pager)) return true;
    if (!fake.Quiet()) return false;
  }
  Fail("faults wait although nothing is announced");
  return false;
}

void PagerWorld::TakePages(uint64_t page, uint64_t pages) {
  for (uint64_t i = 0; i < pages; ++i) {
    PagerTestPeer::AimAt(pager, At(page + i));
    if (pager.Isolate(1) != 1 || StateOf(page + i) != PageState::kStaged) {
      Fail("a page could not be taken: " + std::to_string(page + i));
    }
  }
}

void PagerWorld::CompressAll() {
  for (int i = 0; i < kPassesMax && pager.StoreOldest(context, 16) > 0; ++i) {
  }
}

void PagerWorld::CheckPage(uint64_t page, bool quiet) {
  if (UnderDiscard(page)) return;
  Page seen;
  const PageState state = StateOf(page);
  const bool present = fake.Peek(At(page), seen);
  const bool away = state != PageState::kUntracked && state != PageState::kResident;
  if (quiet && present && away) Fail("two pages claim one place: " + std::to_string(page));
  if (!present && !quiet) return;
  if (!present && !PagerTestPeer::ContentOf(pager, looking_, At(page), seen.data())) {
    seen = kZeroes;  // believed resident, but discarded
  }
  if (seen != Expected(page)) {
    Fail("wrong bytes in page " + Describe(page));
  }
}

bool PagerWorld::Check() {
  pager.Audit();
  const bool quiet = fake.Quiet();
  os::MapsEntry entry;
  for (uint64_t at = kBase; fake.FindOnward(at, &entry) && entry.start < kEnd; at = entry.end) {
    for (uint64_t address = entry.start; address < entry.end; address += kPageSize) {
      CheckPage((address - kBase) >> kPageShift, quiet);
    }
  }
  return ok();
}

bool PagerWorld::ReadEverything() {
  os::MapsEntry entry;
  for (uint64_t at = kBase; fake.FindOnward(at, &entry) && entry.start < kEnd; at = entry.end) {
    for (uint64_t address = entry.start; address < entry.end && ok(); address += kPageSize) {
      Read((address - kBase) >> kPageShift);
    }
  }
  return Check();
}

Result<void> PagerWorld::BecomeChild() {
  fake.BecomeChild();
  return RebuildInChild();
}

Result<void> PagerWorld::RebuildInChild() {
  PagerTestPeer::ReleaseLockInChild(pager);
  ClearStatistics(statistics);  // a child counts in a slot of its own
  cache.ResetAfterFork();
  writeback.ResetAfterFork();
  if (options_.device_bytes > 0) {
    os::IoPort* const port = &device;
    backing.BecomeReader({&port, 1});
  }
  store.ResetAfterFork();
  pager.ResetAfterFork();
  return pager.RebuildInChild(MakeParts());
}

}  // namespace uzswap
