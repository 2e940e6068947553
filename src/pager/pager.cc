#include "pager/pager.h"

#include "os/thread.h"

namespace uzswap {

Result<void> Pager::Init(const Parts& parts) {
  MutexLock lock(mutex_);
  parts_ = parts;
  Result<void> done = map_.Init({});
  if (!done.ok()) return done;
  done = reclaimer_.Init({}, parts.watermarks.frames);
  if (!done.ok()) return done;
  done = queue_.Init();
  if (!done.ok()) return done;
  done = swap_in_.Init(parts.store);
  if (!done.ok()) return done;
  done = serving_.Init(parts.store->cache());
  if (!done.ok()) return done;
  done = work_context_.Init(parts.store->cache());
  if (!done.ok()) return done;
  UseParts(parts);
  return RegisterOwn();
}

void Pager::UseParts(const Parts& parts) {
  parts_ = parts;
  map_.UseParts({.port = parts.port,
                 .address_space = parts.address_space,
                 .statistics = parts.statistics,
                 .discarder = &reclaimer_.contents()});
  reclaimer_.UseParts({.port = &map_.port(),
                       .release_port = parts.release_port,
                       .address_space = parts.address_space,
                       .table = &map_.table(),
                       .store = parts.store,
                       .context = &serving_.cache,
                       .headroom = parts.headroom,
                       .statistics = parts.statistics,
                       .slot_observer = &swap_in_});
  handler_.Init({.map = &map_,
                 .reclaimer = &reclaimer_,
                 .swap_in = &swap_in_,
                 .store = parts.store,
                 .address_space = parts.address_space,
                 .headroom = parts.headroom,
                 .statistics = parts.statistics,
                 .overdraft = parts.watermarks.overdraft,
                 .page_poisoned = parts.page_poisoned,
                 .relief_comes = parts.relief_comes,
                 .callback_argument = parts.callback_argument});
}

void Pager::SetWatermarks(const Watermarks& watermarks) {
  PatientLock lock(mutex_, OnStall());
  parts_.watermarks = watermarks;
  handler_.SetOverdraft(watermarks.overdraft);
}

Result<void> Pager::RegisterOwn() {
  const Result<void> done = reclaimer_.RegisterOwn();
  return done.ok() ? map_.registrar().RegisterProbe() : done;
}

bool Pager::Adopt(AddressRange range, AddressRange pinned) {
  {
    // Most mappings are known from the last scan. One that has replaced a known mapping is found by
    // the next scan: its predecessor leaves the table when its event is read.
    PatientLock lock(mutex_, OnStall());
    const RegisteredRange* known = map_.table().Find(range.start);
    if (known != nullptr && range.end <= known->end) return false;
  }
  for (int i = 0; i < kAdoptTries; ++i) {
    LockPatiently(mutex_, OnStall());
    // What the program unmapped before the mapping list was read must leave the table first.
    ReadMessages();
    const bool added = map_.registrar().Adopt(range);
    PinLocked(pinned);
    const bool quiet = map_.registrar().NothingPending();
    const bool waiting = queue_.count() > 0;
    mutex_.Unlock();
    if (waiting) ServeWaiting();
    if (added || quiet) return added;
    os::YieldProcessor();
  }
  return false;
}

void Pager::PinResident(AddressRange range) {
  PatientLock lock(mutex_, OnStall());
  PinLocked(range);
}

void Pager::PinLocked(AddressRange range) {
  PageTable& table = map_.table();
  table.ForEachPage({RoundDownToPage(range.start), RoundUpToPage(range.end)},
                    [&table](PageIndex index) { table.Pin(index); });
}

bool Pager::CloseDiscards() {
  PatientLock lock(mutex_, OnStall());
  DiscardWatch& discards = map_.events().discards();
  return discards.Close() || discards.closed_count() > 0;
}

uint64_t Pager::TrackDiscardedAgain() {
  PatientLock lock(mutex_, OnStall());
  return map_.registrar().TrackAgain(map_.events().discards());
}

size_t Pager::Isolate(size_t want) {
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.evictor().Isolate(want);
}

void Pager::RetryRefused() {
  PatientLock lock(mutex_, OnStall());
  reclaimer_.policy().RetryRefused();
}

bool Pager::StoringGains() {
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.evictor().StoringGains();
}

size_t Pager::StoreOldest(CacheContext& context, size_t max) {
  Evictor::StoreBatch batch;
  StoreSink* sink = nullptr;
  {
    PatientLock lock(mutex_, OnStall());
    reclaimer_.evictor().BeginStore(max, &batch);
    sink = &reclaimer_.sink();
  }
  Evictor::Store(*sink, context, &batch, Evictor::KeptOnDisk::kRead);
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.evictor().FinishStore(batch);
}

size_t Pager::ReleaseFrames(size_t max) {
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.evictor().ReleaseFrames(max);
}

size_t Pager::TakeBusyPages(std::span<uint64_t> addresses) {
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.evictor().TakeBusyPages(addresses);
}

size_t Pager::IsolatePages(std::span<const uint64_t> addresses) {
  PatientLock lock(mutex_, OnStall());
  return reclaimer_.evictor().IsolatePages(addresses);
}

Pager::Snapshot Pager::TakeSnapshot() {
  PatientLock lock(mutex_, OnStall());
  const StagingFrames& frames = reclaimer_.frames();
  Snapshot snapshot;
  snapshot.resident = map_.table().resident_pages();
  snapshot.staged = frames.staged_count();
  snapshot.to_free = frames.to_free_count();
  snapshot.populated = frames.populated_count();
  parts_.statistics->adopted_bytes.Set(map_.table().bytes().raw());
  parts_.statistics->swapcache_bytes.Set(snapshot.populated * kPageSize);
  return snapshot;
}

void Pager::Audit() {
  MutexLock lock(mutex_);
  map_.table().Audit();
  reclaimer_.contents().Audit();
}

}  // namespace uzswap
