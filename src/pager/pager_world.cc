#include "pager/pager_world.h"

#include <cstring>

namespace uzswap {
namespace {

constexpr int kPassesMax = 200;

const PagerWorld::Page kZeroes{};

}  // namespace

bool PagerTestPeer::ServePass(Pager& pager) {
  uint32_t thread = 0;
  MutexLock lock(pager.mutex_);
  return pager.ServeLocked(&thread);
}

bool PagerTestPeer::InCare(Pager& pager, uint64_t address) { return pager.InCare(address); }

PageState PagerTestPeer::StateOf(Pager& pager, uint64_t address) {
  MutexLock lock(pager.mutex_);
  const Region* region = pager.regions_.Find(address);
  if (region == nullptr) return PageState::kUntracked;
  return pager.regions_.word(region->NumberOf(address)).state();
}

bool PagerTestPeer::ContentOf(Pager& pager, CodecContext& context, uint64_t address,
                              std::byte* page) {
  MutexLock lock(pager.mutex_);
  memset(page, 0, kPageSize);
  const Region* region = pager.regions_.Find(address);
  if (region == nullptr) return true;
  const PageWord& word = pager.regions_.word(region->NumberOf(address));
  switch (word.state()) {
    case PageState::kUntracked:
      return true;
    case PageState::kResident:
      return false;
    case PageState::kCached:
    case PageState::kInFlight:
      memcpy(page, pager.frames_.data(word.frame()), kPageSize);
      return true;
    case PageState::kCompressed:
      pager.parts_.store->Load(context, word.handle(), {page, kPageSize});
      return true;
    case PageState::kSameFilled:
      FillPage((uint64_t{word.pattern()} << 32) | word.pattern(), {page, kPageSize});
      return true;
  }
  return false;
}

void PagerTestPeer::AimAt(Pager& pager, uint64_t address) {
  MutexLock lock(pager.mutex_);
  pager.hand_ = address;
  pager.hand_left_ = Pager::kHandTakes;
  const Region* region = pager.regions_.Find(address);
  if (region != nullptr) pager.regions_.word(region->NumberOf(address)).SetHeat(0);
}

uint8_t PagerTestPeer::HeatOf(Pager& pager, uint64_t address) {
  MutexLock lock(pager.mutex_);
  const Region* region = pager.regions_.Find(address);
  return region == nullptr ? 0 : pager.regions_.word(region->NumberOf(address)).heat();
}

PagerWorld::PagerWorld(const Options& options) : options_(options) {
  if (options_.codec == nullptr) options_.codec = CodecByName("lz4");
  UZ_CHECK(arena.Init({.capacity = PageCount(options_.pool_frames)}).ok());
  UZ_CHECK(pool.Init({.arena = &arena}).ok());
  store.Init(&pool, &arena, &statistics);
  headroom.Set(options_.headroom);
  UZ_CHECK(context.Init(*options_.codec).ok());
  UZ_CHECK(looking_.Init(*options_.codec).ok());
  UZ_CHECK(pager.Init(MakeParts()).ok());
}

Pager::Parts PagerWorld::MakeParts() {
  Pager::Parts parts;
  parts.port = &fake;
  parts.drain_port = &fake.drain_port();
  parts.address_space = &fake;
  parts.store = &store;
  parts.statistics = &statistics;
  parts.headroom = &headroom;
  parts.codec = options_.codec;
  parts.levels.frames = PageCount(options_.frames);
  parts.levels.inactive = options_.frames / 4;
  parts.levels.room_low = static_cast<int64_t>(options_.frames / 16);
  parts.levels.room_high = static_cast<int64_t>(options_.frames / 8);
  parts.levels.overdraft = options_.overdraft;
  parts.levels.working_min = options_.working_min;
  parts.wake_keeper = [](void*) {};
  return parts;
}

PagerWorld::~PagerWorld() {
  const bool finished = Finish(BeginUnmap(0, (kEnd - kBase) >> kPageShift));
  if (!check_at_end_ || !ok()) return;
  UZ_CHECK(finished);
  pager.Audit();
  const Pager::Picture picture = pager.Look();
  UZ_CHECK_EQ(picture.cached, size_t{0});
  UZ_CHECK_EQ(picture.resident.raw(), uint64_t{0});
  UZ_CHECK_EQ(pool.Snapshot().objects, uint64_t{0});
  UZ_CHECK_EQ(statistics.stored_pages.Get(), uint64_t{0});
  UZ_CHECK_EQ(statistics.same_filled_pages.Get(), uint64_t{0});
  UZ_CHECK_EQ(statistics.compressed_bytes.Get(), uint64_t{0});
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
  for (int pass = 0; fake.Store(1, At(page), content) != Access::kDone; ++pass) {
    Pump();
    if (pass == kPassesMax) return Fail("a page could not be written");
  }
  model_[page] = std::make_unique<Page>(content);
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
  Fail("a write never got through to page " + std::to_string(page));
  return false;
}

bool PagerWorld::Read(uint64_t page, uint32_t thread) {
  for (int pass = 0; pass < kPassesMax; ++pass) {
    const Access access = TryRead(thread, page);
    if (access != Access::kWaiting) return access == Access::kDone;
    Pump();
  }
  Fail("a read never got through to page " + std::to_string(page));
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
  discards_.push_back({change, page, pages});
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

bool PagerWorld::Pump() {
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
    if (pager.Take(1) != 1 || StateOf(page + i) != PageState::kCached) {
      Fail("a page could not be taken: " + std::to_string(page + i));
    }
  }
}

void PagerWorld::CompressAll() {
  for (int i = 0; i < kPassesMax && pager.CompressOldest(context, 16) > 0; ++i) {
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
    Fail("page " + std::to_string(page) + (present ? ", present," : ", away,") +
         " is wrong; state " + std::to_string(static_cast<int>(state)));
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
  pager.ResetAfterFork();
  return pager.RebuildInChild(MakeParts());
}

}  // namespace uzswap
