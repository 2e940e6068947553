#include "pager/pager.h"

#include <utility>

namespace uzswap {

Result<void> Pager::Init(const Parts& parts) {
  MutexLock lock(mutex_);
  UseParts(parts);
  Result<void> done = regions_.Init(this);
  if (!done.ok()) return done;
  done = frames_.Init(parts.levels.frames);
  if (!done.ok()) return done;
  done = context_.Init(parts.store->cache());
  if (!done.ok()) return done;
  done = read_context_.Init(parts.store->cache());
  if (!done.ok()) return done;
  auto parked = os::VirtualArray<Parked>::Create(kParkedMax, "faults that wait");
  if (!parked.ok()) return parked.error();
  parked_ = std::move(parked).value();
  auto scratch =
      os::Mapping::Create(Bytes(Readahead::kWindowMax * kPageSize), "the pager's scratch");
  if (!scratch.ok()) return scratch.error();
  scratch_ = std::move(scratch).value();
  auto drain = os::Mapping::Create(Bytes(kDrainPages * kPageSize), "the drain");
  if (!drain.ok()) return drain.error();
  drain_ = std::move(drain).value();
  for (PageIndex& recent : recent_) recent = kNoOwner;
  auto sentinel = os::Mapping::Create(Bytes(kPageSize), "the sentinel");
  if (!sentinel.ok()) return sentinel.error();
  sentinel_ = std::move(sentinel).value();
  return RegisterOwn();
}

Result<void> Pager::RegisterOwn() {
  for (const os::Mapping* own : {&frames_.memory(), static_cast<const os::Mapping*>(&sentinel_)}) {
    Result<void> done = parts_.port->Register(reinterpret_cast<uint64_t>(own->data()), own->size());
    if (!done.ok()) return done;
  }
  return parts_.drain_port->Register(reinterpret_cast<uint64_t>(drain_.data()), drain_.size());
}

void Pager::UseParts(const Parts& parts) {
  parts_ = parts;
  witness_.Attach(parts.port);
  parts_.port = &witness_;
}

// The lock is held by whoever changes the region map; the analysis cannot see that through
// the Relocation interface.
void Pager::WordMoved(PageIndex from, PageIndex to,
                      const PageEntry& word) UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (word.state() != PageState::kStaged && word.state() != PageState::kInFlight) return;
  UZ_CHECK_EQ(frames_.owner(word.frame()), from);
  frames_.SetOwner(word.frame(), to);
}

Pager::Picture Pager::Look() {
  MutexLock lock(mutex_);
  Picture picture;
  picture.resident = PageCount(resident_);
  picture.cached = frames_.cached_count();
  picture.spent = frames_.spent_count();
  picture.populated = frames_.populated_count();
  parts_.statistics->adopted_bytes.Set(regions_.bytes().raw());
  parts_.statistics->swapcache_bytes.Set(picture.populated * kPageSize);
  return picture;
}

void Pager::PinResident(uint64_t start, uint64_t end) {
  MutexLock lock(mutex_);
  for (uint64_t address = RoundDownToPage(start); address < end; address += kPageSize) {
    const Region* region = regions_.Find(address);
    if (region == nullptr) continue;
    regions_.word(region->NumberOf(address)).Pin();
  }
}

void Pager::Audit() {
  MutexLock lock(mutex_);
  regions_.Audit();
  frames_.Audit();
  size_t resident = 0;
  for (size_t i = 0; i < regions_.count(); ++i) {
    const Region& region = regions_.at(i);
    for (uint64_t page = 0; page < region.pages(); ++page) {
      const auto number = static_cast<PageIndex>(region.first + page);
      const PageEntry& word = regions_.word(number);
      if (word.state() == PageState::kResident) ++resident;
      if (word.state() != PageState::kStaged && word.state() != PageState::kInFlight) continue;
      UZ_CHECK_EQ(frames_.owner(word.frame()), number);
    }
  }
  UZ_CHECK_EQ(resident, resident_);
}

}  // namespace uzswap
