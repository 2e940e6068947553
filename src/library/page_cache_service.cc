#include "library/page_cache_service.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "library/codec_mode.h"
#include "os/thread.h"

namespace uzswap {
namespace {

// How often a store may find the writer without anything to do before it is refused, where nothing
// can be written or dropped.
constexpr int kStuckLooks = 3;
// Elsewhere: how often the writer may try without success meanwhile. It tries every 50 ms.
constexpr uint64_t kFruitlessTurns = 3;
// Address space only: a leaf takes memory when it is used first.
constexpr uint32_t kLeavesMax = uint32_t{1} << 22;

Result<void> Check(const PageCache::Options& options) {
  if (options.memory_bytes < PageCache::kMemoryBytesMin ||
      options.memory_bytes > StorageOptions::kMemoryLimitMax.raw()) {
    return Error{EINVAL, "memory_bytes: at least 1 MiB, at most 8 TiB"};
  }
  if (!std::has_single_bit(options.unit_bytes) || options.unit_bytes < PageCache::kUnitBytesMin ||
      options.unit_bytes > PageCache::kUnitBytesMax) {
    return Error{EINVAL, "unit_bytes: a power of two from 512 to 65536"};
  }
  return {};
}

StorageOptions StorageOptionsFor(const PageCache::Options& options) {
  StorageOptions result;
  result.codec = ModeOf(options.compression);
  result.memory_limit = result.pool_limit = Bytes(options.memory_bytes);
  result.keep_incompressible = KeepIncompressible::kAlways;
  // Small units leave most of a page empty, and compress to little more than their own share.
  result.objects_per_frame *=
      static_cast<uint32_t>(kPageSize / std::min<size_t>(options.unit_bytes, kPageSize));
  result.extra_areas = PageCache::kAreasMax;
  result.extra_leaves = kLeavesMax;
  result.backing.path = options.backing;
  result.backing.size_limit = Bytes(options.backing_bytes);
  result.backing.encrypt = options.encrypt;
  return result;
}

}  // namespace

// How long a store waits for room. A writer that gets no processor is none that can do nothing: its
// attempts are counted, not the time, and whatever it frees begins the timeout again.
class PageCache::Service::RoomWait {
 public:
  RoomWait(const Writeback& writer, bool can_come, uint64_t timeout_ns)
      : writer_(writer), can_come_(can_come), timeout_ns_(timeout_ns) {}

  bool GoesOn(uint64_t now_ns) {
    const uint64_t freed = writer_.counters().frames_freed.Get();
    if (began_ns_ == 0 || freed != freed_) {
      freed_ = freed;
      began_ns_ = now_ns;
      turns_ = writer_.counters().fruitless_turns.Get();
    }
    if (writer_.stuck() && ++stuck_looks_ >= kStuckLooks && !can_come_) return false;
    // Objects that were just loaded are spared once, so the writer may find nothing in one turn and
    // something in the next.
    if (writer_.counters().fruitless_turns.Get() - turns_ >= kFruitlessTurns) return false;
    return now_ns - began_ns_ < timeout_ns_;
  }

 private:
  const Writeback& writer_;
  const bool can_come_;
  const uint64_t timeout_ns_;
  uint64_t began_ns_ = 0;  // or when the writer last freed something
  uint64_t freed_ = 0;
  uint64_t turns_ = 0;
  int stuck_looks_ = 0;
};

class UZ_SCOPED_CAPABILITY PageCache::Service::UnitLock {
 public:
  UnitLock(Service& service, Area area, uint64_t index) UZ_NO_THREAD_SAFETY_ANALYSIS {
    if (service.pages_ == 1) return;
    mutex_ = &service.stripes_[(index * 0x9e3779b97f4a7c15u + area) % kStripes].mutex;
    mutex_->Lock();
  }
  ~UnitLock() UZ_NO_THREAD_SAFETY_ANALYSIS {
    if (mutex_ != nullptr) mutex_->Unlock();
  }
  UnitLock(const UnitLock&) = delete;
  UnitLock& operator=(const UnitLock&) = delete;

 private:
  Mutex* mutex_ = nullptr;
};

Result<std::unique_ptr<PageCache::Service>> PageCache::Service::Open(const Options& options) {
  if (const Result<void> checked = Check(options); !checked.ok()) return checked.error();
  std::unique_ptr<Service> service(new (std::nothrow) Service);
  if (service == nullptr) return Error{ENOMEM, "memory for the cache"};
  service->unit_bytes_ = options.unit_bytes;
  service->pages_ = std::max<size_t>(options.unit_bytes / kPageSize, 1);
  service->store_timeout_ns_ = uint64_t{options.store_timeout_ms} * 1'000'000;
  Result<void> done = service->stack_.Init(StorageOptionsFor(options));
  if (!done.ok()) return done.error();
  done = service->contexts_.Init(service->stack_.cache());
  if (!done.ok()) return done.error();
  if (service->stack_.backing_error()) return *service->stack_.backing_error();
  done = service->threads_.Start(service->stack_);
  if (!done.ok()) return done.error();
  return service;
}

PageCache::Service::~Service() {
  threads_.Stop();
  if (contexts_.usable()) {
    const ContextPool::Lease context = contexts_.Take();
    for (Area area = 1; area <= kAreasMax + 1; ++area) {
      if (Exists(area)) stack_.cache().DestroyArea(*context, area);
    }
    stack_.Close(*context);
  }
  contexts_.Clear();
}

// That of the stack's own store is none of the caller's.
bool PageCache::Service::Exists(Area area) {
  return area != kNoArea && area <= kAreasMax + 1 && area != stack_.store().area() &&
         stack_.cache().KindOf(area) != AreaKind::kNone;
}

void PageCache::Service::RequireUnit(size_t bytes, uint64_t index) const {
  internal::Require(bytes == unit_bytes_, "check failed: the bytes of a unit have another size");
  internal::Require(index <= kIndexMax / pages_, "check failed: the index of a unit is too large");
}

SwapEntry PageCache::Service::EntryOf(Area area, uint64_t index, size_t page) const {
  return {area, index * pages_ + page};
}

PageCache::Area PageCache::Service::CreateArea(Lifetime lifetime) {
  return stack_.cache().CreateArea(lifetime == Lifetime::kPersistent ? AreaKind::kPersistent
                                                                     : AreaKind::kEphemeral);
}

void PageCache::Service::DestroyArea(Area area) {
  if (!Exists(area)) return;
  const ContextPool::Lease context = contexts_.Take();
  stack_.cache().DestroyArea(*context, area);
  threads_.NoteFrees();
}

// While the writer makes room, a store that was refused succeeds a moment later. A closed gate
// looks at the pool's size only from time to time: the first tries are for that.
StoreOutcome PageCache::Service::StoreWhenRoom(CacheContext& context, SwapEntry entry,
                                               ConstPageBytes page) {
  constexpr int kTriesAtOnce = 6;
  StoreOutcome outcome = StoreOutcome::kNoSpace;
  for (int i = 0; i < kTriesAtOnce && outcome == StoreOutcome::kNoSpace; ++i) {
    outcome = stack_.cache().Store(context, entry, page);
  }
  if (outcome != StoreOutcome::kNoSpace) return outcome;
  const bool can_come =
      stack_.writes() || stack_.cache().KindOf(entry.area) == AreaKind::kEphemeral;
  RoomWait wait(stack_.writeback(), can_come, store_timeout_ns_);
  while (outcome == StoreOutcome::kNoSpace && wait.GoesOn(os::MonotonicNanoseconds())) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    outcome = stack_.cache().Store(context, entry, page);
  }
  return outcome;
}

StoreOutcome PageCache::Service::StorePages(CacheContext& context, Area area, uint64_t index,
                                            std::span<const std::byte> bytes) {
  if (unit_bytes_ < kPageSize) {
    alignas(64) std::byte page[kPageSize] = {};
    memcpy(page, bytes.data(), bytes.size());
    return StoreWhenRoom(context, EntryOf(area, index, 0), ConstPageBytes(page));
  }
  for (size_t page = 0; page < pages_; ++page) {
    const ConstPageBytes part(bytes.data() + page * kPageSize, kPageSize);
    const StoreOutcome outcome = StoreWhenRoom(context, EntryOf(area, index, page), part);
    if (outcome == StoreOutcome::kStored) continue;
    InvalidatePages(context, area, index);
    return outcome;
  }
  return StoreOutcome::kStored;
}

PageCache::Stored PageCache::Service::Store(Area area, uint64_t index,
                                            std::span<const std::byte> bytes) {
  RequireUnit(bytes.size(), index);
  if (!Exists(area)) return Stored::kUnknownArea;
  const ContextPool::Lease context = contexts_.Take();
  const UnitLock lock(*this, area, index);
  const StoreOutcome outcome = StorePages(*context, area, index, bytes);
  if (outcome == StoreOutcome::kStored) return Stored::kStored;
  refused_.Add();
  return outcome == StoreOutcome::kNoIndex ? Stored::kUnknownArea : Stored::kFull;
}

LoadOutcome PageCache::Service::LoadPages(CacheContext& context, Area area, uint64_t index,
                                          std::span<std::byte> bytes, Keep keep) {
  const LoadMode mode = keep == Keep::kTake ? LoadMode::kExclusive : LoadMode::kKeep;
  if (unit_bytes_ < kPageSize) {
    alignas(64) std::byte page[kPageSize];
    const LoadOutcome outcome =
        stack_.cache().Load(context, EntryOf(area, index, 0), PageBytes(page), mode);
    if (outcome == LoadOutcome::kLoaded) memcpy(bytes.data(), page, bytes.size());
    return outcome;
  }
  for (size_t page = 0; page < pages_; ++page) {
    // All of a unit can be loaded, or nothing is taken.
    const LoadMode part_mode = pages_ == 1 ? mode : LoadMode::kKeep;
    const PageBytes part(bytes.data() + page * kPageSize, kPageSize);
    const LoadOutcome outcome =
        stack_.cache().Load(context, EntryOf(area, index, page), part, part_mode);
    if (outcome == LoadOutcome::kLoaded) continue;
    // A part of an ephemeral unit was dropped, or InvalidateArea met a store: the rest is worth
    // nothing.
    if (outcome == LoadOutcome::kMiss && pages_ > 1) InvalidatePages(context, area, index);
    return outcome;
  }
  if (pages_ > 1 && keep == Keep::kTake) InvalidatePages(context, area, index);
  return LoadOutcome::kLoaded;
}

PageCache::Loaded PageCache::Service::Load(Area area, uint64_t index, std::span<std::byte> bytes,
                                           Keep keep) {
  RequireUnit(bytes.size(), index);
  if (!Exists(area)) return Loaded::kMiss;
  const ContextPool::Lease context = contexts_.Take();
  const UnitLock lock(*this, area, index);
  if (keep == Keep::kTake) threads_.NoteFrees();
  switch (LoadPages(*context, area, index, bytes, keep)) {
    case LoadOutcome::kLoaded:
      return Loaded::kLoaded;
    case LoadOutcome::kMiss:
      return Loaded::kMiss;
    case LoadOutcome::kCorrupt:
      return Loaded::kCorrupt;
    case LoadOutcome::kIoError:
    case LoadOutcome::kOnDisk:
      break;
  }
  return Loaded::kIoError;
}

bool PageCache::Service::InvalidatePages(CacheContext& context, Area area, uint64_t index) {
  bool found = false;
  for (size_t page = 0; page < pages_; ++page) {
    found |= stack_.cache().Invalidate(context, EntryOf(area, index, page));
  }
  threads_.NoteFrees();
  return found;
}

bool PageCache::Service::Invalidate(Area area, uint64_t index) {
  RequireUnit(unit_bytes_, index);
  if (!Exists(area)) return false;
  const ContextPool::Lease context = contexts_.Take();
  const UnitLock lock(*this, area, index);
  return InvalidatePages(*context, area, index);
}

uint64_t PageCache::Service::InvalidateArea(Area area) {
  if (!Exists(area)) return 0;
  const ContextPool::Lease context = contexts_.Take();
  threads_.NoteFrees();
  return stack_.cache().InvalidateArea(*context, area);
}

void PageCache::Service::Prefetch(Area area, uint64_t first, size_t units) {
  if (stack_.backing() == nullptr || !Exists(area)) return;
  const ContextPool::Lease context = contexts_.Take();
  SwapEntry entries[CompressedCache::kPrefetchMax];
  const size_t pages = std::min(units * pages_, CompressedCache::kPrefetchMax);
  for (size_t page = 0; page < pages; ++page) entries[page] = EntryOf(area, first, page);
  stack_.cache().PrefetchMany(*context, {entries, pages});
}

PageCache::Statistics PageCache::Service::Count() {
  CacheCounters sum;
  stack_.cache().Count(sum);
  const PoolStatistics pool = stack_.pool().Snapshot();
  const auto in = [](const RelaxedCounter& added, const RelaxedCounter& removed) {
    return added.Get() - std::min(added.Get(), removed.Get());
  };
  Statistics result;
  result.units = in(sum.entries_in, sum.entries_out) / pages_;
  result.units_on_disk = in(sum.disk_in, sum.disk_out) / pages_;
  result.memory_bytes = stack_.store().PoolBytes().raw();
  result.object_bytes = pool.object_bytes;
  result.table_bytes = pool.metadata_bytes + stack_.cache().metadata_bytes();
  result.disk_bytes = in(sum.disk_bytes_in, sum.disk_bytes_out);
  result.stores = sum.stores.Get();
  result.loads = sum.loads.Get();
  result.loads_from_disk = sum.loads_disk.Get();
  result.misses = sum.load_misses.Get();
  result.dropped = sum.dropped.Get();
  result.refused = refused_.Get();
  return result;
}

}  // namespace uzswap
