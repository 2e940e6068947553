#include "library/region_service.h"

#include <algorithm>
#include <cerrno>
#include <new>

#include "library/codec_mode.h"
#include "os/thread.h"
#include "uzswap/result.h"

namespace uzswap {
namespace {

// Where what is compressed can leave memory it takes a fifth of the budget, as in `uzswap run`.
// Without a medium it is what makes the region larger than its budget.
constexpr uint64_t kPoolPercentWithBacking = 20;
constexpr uint64_t kPoolPercent = 90;
// Rounds of reclaim in a fault beyond the budget.
constexpr int kRoundsMax = 4 * static_cast<int>(RegionReclaim::kShardsMax);
// While they gain nothing, only one fault of so many tries.
constexpr uint32_t kFaultsBetweenTries = 16;
constexpr uint64_t kPinnedShareNumerator = 3;
constexpr uint64_t kPinnedShareDenominator = 4;

Result<void> Check(const Region::Options& options) {
  if (options.size == 0 || options.size > Region::kSizeMax) {
    return Error{EINVAL, "size: at least one byte, at most 8 TiB"};
  }
  if (options.memory_bytes < Region::kMemoryBytesMin ||
      options.memory_bytes > StorageOptions::kMemoryLimitMax.raw()) {
    return Error{EINVAL, "memory_bytes: at least 1 MiB, at most 8 TiB"};
  }
  return {};
}

StorageOptions StorageOptionsFor(const Region::Options& options) {
  StorageOptions result;
  result.codec = ModeOf(options.compression);
  result.memory_limit = Bytes(options.memory_bytes);
  result.backing.path = options.backing;
  const bool writes = result.backing.wanted();
  result.pool_limit =
      Bytes(options.memory_bytes / 100 * (writes ? kPoolPercentWithBacking : kPoolPercent));
  result.keep_incompressible = KeepIncompressible::kIfWritable;
  result.backing.size_limit = Bytes(options.backing_bytes);
  result.backing.encrypt = options.encrypt;
  return result;
}

}  // namespace

Result<std::unique_ptr<Region::Service>> Region::Service::Create(const Options& options) {
  const os::BlockedSignals blocked;
  if (const Result<void> checked = Check(options); !checked.ok()) return checked.error();
  std::unique_ptr<Service> service(new (std::nothrow) Service);
  if (service == nullptr) return Error{ENOMEM, "memory for the region"};
  if (const Result<void> done = service->Init(options); !done.ok()) return done.error();
  return service;
}

Result<void> Region::Service::Init(const Options& options) {
  Result<void> done = user_fault_.Open(os::LinuxUserFault::Events::kSignal);
  if (!done.ok()) return done;
  done = address_space_.Open();
  if (!done.ok()) return done;
  size_ = RoundUpToPage(options.size);
  auto mapping =
      os::Mapping::Create(Bytes(size_), "the region", kPageSize, os::MappingPurpose::kPageFrames);
  if (!mapping.ok()) return mapping.error();
  mapping_ = std::move(mapping).value();
  mapping_.ForbidHugePages();
  done = mapping_.KeepFromChildren();
  if (!done.ok()) return done;
  done = stack_.Init(StorageOptionsFor(options));
  if (!done.ok()) return done;
  done = contexts_.Init(stack_.cache());
  if (!done.ok()) return done;
  if (stack_.backing_error()) return *stack_.backing_error();

  memory_.mapping = &mapping_;
  memory_.pages = size_ >> kPageShift;
  memory_.limit_pages = options.memory_bytes >> kPageShift;
  memory_.port = &user_fault_;
  memory_.address_space = &address_space_;
  memory_.store = &stack_.store();
  low_pages_ = static_cast<int64_t>(std::clamp<uint64_t>(memory_.limit_pages / 64, 8, 1024));
  high_pages_ = 2 * low_pages_;
  done = memory_.words.Init(memory_.pages);
  if (!done.ok()) return done;
  done = reclaim_.Init(memory_);
  if (!done.ok()) return done;
  faults_.Init(memory_);
  const auto start = reinterpret_cast<uint64_t>(data());
  done = user_fault_.Register(start, size_);
  if (!done.ok()) return done;
  done = threads_.Start(stack_);
  if (!done.ok()) return done;
  done = StartReclaimer();
  if (!done.ok()) return done;
  return AddFaultReceiver({start, start + size_}, this);
}

Region::Service::~Service() {
  const os::BlockedSignals blocked;
  UZ_CHECK_EQ(memory_.counters.pinned.Get(), uint64_t{0});
  RemoveFaultReceiver(this);
  StopReclaimer();
  threads_.Stop();
  if (contexts_.usable()) {
    const ContextPool::Lease context = contexts_.Take();
    stack_.Close((*context).cache);
  }
  contexts_.Clear();
  user_fault_.Close();
}

Result<void> Region::Service::StartReclaimer() {
  // The thread starts with all signals blocked, as Create runs.
  const int error = pthread_create(&reclaimer_, nullptr, ReclaimerMain, this);
  if (error != 0) return Error{error, "a service thread"};
  reclaims_ = true;
  pthread_setname_np(reclaimer_, "uzswap-reclaim");
  return {};
}

void Region::Service::StopReclaimer() {
  if (!reclaims_) return;
  stopping_.store(true, std::memory_order_relaxed);
  asleep_.store(0, std::memory_order_release);
  os::FutexWake(&asleep_, 1);
  pthread_join(reclaimer_, nullptr);
  reclaims_ = false;
}

void* Region::Service::ReclaimerMain(void* self) {
  static_cast<Service*>(self)->Reclaim();
  return nullptr;
}

// A wake-up that is lost between the look and the sleep costs a pause.
void Region::Service::Reclaim() {
  constexpr uint64_t kPauseNs = 20'000'000;
  bool makes_room = false;
  uint32_t fruitless = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int64_t headroom = memory_.HeadroomPages();
    makes_room = headroom < low_pages_ || (makes_room && headroom < high_pages_);
    if (makes_room && fruitless < reclaim_.shards()) {
      // Leased for one round only: a thread that faults may wait for this context.
      const ContextPool::Lease context = contexts_.Take();
      fruitless = reclaim_.EvictSome((*context).cache) > 0 ? 0 : fruitless + 1;
      if (fruitless == 0) continue;
      if (fruitless < reclaim_.shards()) continue;
    }
    asleep_.store(1, std::memory_order_release);
    os::FutexWait(&asleep_, 1, kPauseNs);
    asleep_.store(0, std::memory_order_relaxed);
    fruitless = 0;
  }
}

bool Region::Service::OnFault(uint64_t address, bool write) {
  const OwnRankScope own_ranks;
  const uint64_t page = (address - reinterpret_cast<uint64_t>(data())) >> kPageShift;
  const ContextPool::Lease context = contexts_.Take();
  const RegionFault fault =
      faults_.Resolve(*context, page, write ? RegionAccess::kWrite : RegionAccess::kRead);
  memory_.counters.faults.Add();
  if (fault == RegionFault::kLost) return false;
  threads_.NoteFrees();
  MakeRoom(*context);
  return true;
}

void Region::Service::MakeRoom(RegionContext& context) {
  int64_t headroom = memory_.HeadroomPages();
  if (headroom >= low_pages_) return;
  if (asleep_.load(std::memory_order_relaxed) != 0 &&
      asleep_.exchange(0, std::memory_order_acq_rel) != 0) {
    os::FutexWake(&asleep_, 1);
  }
  if (headroom >= 0) return;
  // Where nothing compresses each round costs as much as a fault, and most of them free nothing.
  const uint32_t fruitless = fruitless_.load(std::memory_order_relaxed);
  const int rounds = fruitless == 0 ? kRoundsMax : fruitless % kFaultsBetweenTries == 0 ? 1 : 0;
  size_t gained = 0;
  for (int round = 0; round < rounds && headroom < 0; ++round) {
    gained += reclaim_.EvictSome(context.cache);
    headroom = memory_.HeadroomPages();
  }
  if (gained > 0) {
    fruitless_.store(0, std::memory_order_relaxed);
  } else if (headroom < 0) {
    fruitless_.fetch_add(1, std::memory_order_relaxed);
    memory_.counters.over_budget.Add();
  }
}

// The userfaultfd of a forked child is that of its parent: a call of the child would populate pages
// of the parent.
Region::Service::Pages Region::Service::PagesOf(const void* start, size_t bytes) const {
  internal::Require(!is_inherited(), "check failed: a forked child uses a region of its parent");
  const auto base = reinterpret_cast<uint64_t>(data());
  const auto at = reinterpret_cast<uint64_t>(start);
  internal::Require(at >= base && at - base <= size_ && bytes <= size_ - (at - base),
                    "check failed: the range is not in the region");
  const uint64_t first = (at - base) >> kPageShift;
  const uint64_t end = RoundUpToPage(at - base + bytes) >> kPageShift;
  return {first, bytes == 0 ? 0 : end - first};
}

Result<void> Region::Service::PinPages(const void* start, size_t bytes) {
  const Pages pages = PagesOf(start, bytes);
  const os::BlockedSignals blocked;
  RegionCounters& counters = memory_.counters;
  const uint64_t most = memory_.limit_pages / kPinnedShareDenominator * kPinnedShareNumerator;
  counters.pinned.Add(pages.count);
  if (counters.pinned.Get() > most) {
    counters.pinned.Sub(pages.count);
    return Error{ENOMEM, "pinned pages would take more than three quarters of memory_bytes"};
  }
  for (uint64_t i = 0; i < pages.count; ++i) {
    if (PinPage(pages.first + i)) continue;
    counters.pinned.Sub(pages.count - i);
    UnpinPages(data() + (pages.first << kPageShift), i << kPageShift);
    return Error{EIO, "a page of the region cannot be read back"};
  }
  return {};
}

bool Region::Service::PinPage(uint64_t page) {
  while (true) {
    const RegionWord word = memory_.words.ReadSettled(page);
    if (word.state() == RegionPageState::kResident && word.pins() < RegionWord::kPinsMax) {
      if (memory_.words.Change(page, word, word.WithPins(word.pins() + 1))) return true;
      continue;
    }
    internal::Require(word.pins() < RegionWord::kPinsMax, "check failed: a page has 65535 pins");
    const ContextPool::Lease context = contexts_.Take();
    if (faults_.Resolve(*context, page, RegionAccess::kWrite) == RegionFault::kLost) return false;
    MakeRoom(*context);
  }
}

void Region::Service::UnpinPages(const void* start, size_t bytes) {
  const Pages pages = PagesOf(start, bytes);
  const os::BlockedSignals blocked;
  for (uint64_t page = pages.first; page < pages.first + pages.count; ++page) {
    while (true) {
      const RegionWord word = memory_.words.ReadSettled(page);
      UZ_CHECK_GT(word.pins(), 0u);
      if (memory_.words.Change(page, word, word.WithPins(word.pins() - 1))) break;
    }
  }
  memory_.counters.pinned.Sub(pages.count);
}

void Region::Service::Advise(const void* start, size_t bytes, Advice advice) {
  const Pages pages = PagesOf(start, bytes);
  if (pages.count == 0) return;
  const os::BlockedSignals blocked;
  if (advice == Advice::kWillNeed) {
    const ContextPool::Lease context = contexts_.Take();
    faults_.BringIn(*context, pages.first, pages.count);
  } else {
    reclaim_.Prefer(pages.first, pages.count);
  }
}

void Region::Service::Discard(void* start, size_t bytes) {
  static_cast<void>(PagesOf(start, bytes));
  const auto base = reinterpret_cast<uint64_t>(data());
  const auto at = reinterpret_cast<uint64_t>(start);
  const uint64_t first = RoundUpToPage(at - base) >> kPageShift;
  const uint64_t end = (at - base + bytes) >> kPageShift;
  if (first >= end) return;
  const os::BlockedSignals blocked;
  const ContextPool::Lease context = contexts_.Take();
  faults_.Discard(*context, first, end - first);
  threads_.NoteFrees();
}

Region::Statistics Region::Service::Count() {
  const os::BlockedSignals blocked;
  const RegionCounters& counters = memory_.counters;
  const auto bytes = [](uint64_t pages) { return pages << kPageShift; };
  const BackingStore* backing = stack_.backing();
  return {.resident_bytes = bytes(counters.resident.Get() + counters.staged.Get()),
          .compressed_bytes = stack_.store().PoolBytes().raw(),
          .stored_pages = counters.stored.Get(),
          .disk_bytes = backing == nullptr ? 0 : backing->segments().live_bytes(),
          .pinned_pages = counters.pinned.Get(),
          .faults = counters.faults.Get(),
          .first_touches = counters.faults_zero.Get(),
          .saved_in_time = counters.faults_staged.Get(),
          .faults_from_disk = counters.faults_disk.Get(),
          .read_ahead = counters.read_ahead.Get(),
          .over_budget = counters.over_budget.Get()};
}

}  // namespace uzswap
