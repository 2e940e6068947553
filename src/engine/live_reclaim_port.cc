#include "engine/live_reclaim_port.h"

#include <algorithm>

#include "engine/cow_breaker.h"
#include "engine/pager_sink.h"
#include "engine/resident_causes.h"
#include "os/mapping.h"
#include "os/thread.h"

namespace uzswap {
namespace {

class OwnCowPort final : public CowPort {
 public:
  explicit OwnCowPort(const os::LinuxAddressSpace& space) : space_(space) {}
  std::optional<bool> MappedOnce(uint64_t address) override { return space_.MappedOnce(address); }
  void BreakCow(uint64_t address) override { os::PopulateWrite(address, kPageSize); }

 private:
  const os::LinuxAddressSpace& space_;
};

}  // namespace

void LiveReclaimPort::Init(const Parts& parts) {
  parts_ = parts;
  fence_.Init(
      [](const void* scanner, uint32_t thread) {
        return os::LookAtThread(static_cast<const RangeScanner*>(scanner)->tasks(), thread);
      },
      parts.scanner);
}

void LiveReclaimPort::ResetInChild() {
  publisher_.ForgetInChild();
  bounds_.ResetInChild();
  fence_.Disarm();
  was_sharing_ = true;
  forks_seen_ = 0;
  lasting_ns_ = NowNs() + ForkRoom::kLastingNs;
  child_file_ns_ = 0;
}

uint64_t LiveReclaimPort::NowNs() { return os::MonotonicNanoseconds(); }

Watermarks LiveReclaimPort::WantedWatermarks() {
  const Session& session = parts_.member->session();
  shrink_.Note(session.asked_usage(), NowNs());
  const Bytes limit = session.limit();
  Watermarks marks = WatermarksFor(limit, shrink_.to());
  // Their tables are address space, as the arena is.
  marks.frames = WatermarksFor(std::min(limit, parts_.paging->arena())).frames;
  return marks;
}

void LiveReclaimPort::UseWatermarks(const Watermarks& watermarks) {
  parts_.meter->SetWatermarks(watermarks);
  parts_.paging->SetWatermarks(watermarks);
}

// Nothing has been registered if it fails, so the program can continue as if we were not there.
bool LiveReclaimPort::Activate() {
  const uint64_t begin = NowNs();
  const Result<void> activated = parts_.paging->Activate();
  statistics().activation_us.RaiseTo((NowNs() - begin) / 1000);
  if (!activated.ok()) parts_.notices->Refused(activated.error());
  return activated.ok();
}

void LiveReclaimPort::UpdateStorage() {
  const uint64_t now = NowNs();
  NoteSharing();
  NoteLasting(now);
  OpenFileInChild(now);
  // A child that has no file yet will get one.
  const bool waits = lasting_ns_ != 0 || child_file_ns_ != 0;
  parts_.meter->SetPoolShrinks(storage().writes() || (waits && storage().backing() != nullptr));
  RetryRefused(now);
  CacheCounters cache;
  storage().cache().Count(cache);
  const BackingStore* backing = storage().backing();
  publisher_.Publish(cache, storage().writeback().counters(),
                     backing != nullptr ? &backing->counters() : nullptr, statistics());
  parts_.paging->learning().Tick(cache);
  if (publisher_.PoolDue(now)) {
    parts_.paging->learning().Publish();
    statistics().compressed_bytes.Set(storage().ObjectBytes().raw());
  }
  if (bounds_.Due(now)) {
    const Options options = parts_.member->session().options();
    ShareBounds(options);
    ChooseCodec(options);
    PermitDensifying();
  }
  AskForDensity();
}

void LiveReclaimPort::NoteSharing() {
  const bool sharing = parts_.meter->sharing();
  // A fork whose child has called exec before this step leaves only its count.
  const uint64_t forks = statistics().forks.Get();
  was_sharing_ |= sharing || forks != forks_seen_;
  forks_seen_ = forks;
  if (was_sharing_ && !sharing) was_sharing_ = !parts_.paging->pager().EndSharing();
}

void LiveReclaimPort::NoteLasting(uint64_t now_ns) {
  if (lasting_ns_ == 0 || now_ns < lasting_ns_) return;
  lasting_ns_ = 0;
  parts_.member->NoteLasting();
  child_file_ns_ = now_ns;
}

// Most children call exec or end at once, and need no file.
void LiveReclaimPort::OpenFileInChild(uint64_t now_ns) {
  if (child_file_ns_ == 0 || now_ns < child_file_ns_) return;
  const bool again = parts_.paging->WriteInChild([this](const Options& options) {
    const Bytes pools = shrink_.PoolBound(options.pool_limit);
    if (pools.raw() != 0) SharePoolBound(pools);
    FollowWriteLimit(options);
    return pools;
  });
  child_file_ns_ = again ? now_ns + ForkRoom::kLastingNs : 0;
}

void LiveReclaimPort::RetryRefused(uint64_t now_ns) {
  if (now_ns - retried_ns_ < kRetryRefusedNs) return;
  retried_ns_ = now_ns;
  parts_.paging->pager().RetryRefused();
}

// While a relative maps frames of the pool too, new objects would take memory that the old ones do
// not give back. Before the first dictionary, objects would be tried without gain, and not again.
void LiveReclaimPort::PermitDensifying() {
  const bool learned =
      storage().dictionaries().current() != kNoDictionary || !parts_.paging->learning().on();
  storage().writeback().PermitDensifying(learned && !parts_.meter->sharing());
}

void LiveReclaimPort::ChooseCodec(const Options& options) {
  CodecChooser& chooser = storage().cache().chooser();
  chooser.Use(options.codec);
  if (!chooser.automatic()) return;
  const uint64_t faults = statistics().fault_ns.Quantile(500);
  const uint64_t pool = storage().store().PoolBytes().raw();
  const uint64_t percent = pool * 100 / options.limit.raw();
  if (chooser.Decide(faults + kFaultOutsideNs, percent)) statistics().codec_changes.Add();
}

void LiveReclaimPort::ShareBounds(const Options& options) {
  if (options.pool_limit.raw() != 0 && (!storage().is_child() || storage().writes())) {
    // While the tree is to shrink, pages have to leave the pools too. Where they cannot, the pools
    // grow by what the program gives up.
    SharePoolBound(storage().writes() ? shrink_.PoolBound(options.pool_limit) : options.pool_limit);
  }
  if (!storage().writes()) return;
  ShareFileBound(options);
  WarnIfStuck();
}

// Frames that relatives map too cannot be given up, so the bound is for the others.
void LiveReclaimPort::SharePoolBound(Bytes pools) {
  parts_.paging->SetPoolBound(pools);
  PoolGate& gate = storage().cache().gate();
  const Bytes pool = storage().store().PoolBytes();
  const Bytes share = parts_.meter->ShareOfPool(pool);
  const Bytes own = parts_.meter->OwnOfPool(pool);
  gate.SetUncounted((pool - own).raw());
  gate.reservation().ReturnBeyond(own.raw());
  const Bytes held(std::max(share.raw(), gate.reservation().reserved()));
  const Bytes limit =
      StorageBounds::PoolLimit({.bound = pools,
                                .tree = parts_.member->session().TreeReserved(SharedSpace::kPool),
                                .held = held,
                                .shared = share - own,
                                .uncounted = pool - own,
                                .arena = parts_.paging->arena()});
  gate.SetLimit(limit.raw());
}

void LiveReclaimPort::ShareFileBound(const Options& options) {
  BackingStore& backing = *storage().backing();
  storage().ReleaseChildren();
  FollowWriteLimit(options);
  statistics().backing_file_bytes.Set(backing.file_bytes());
  statistics().backing_live_bytes.Set(backing.segments().live_bytes());
  if (options.backing_size.raw() == 0) return;
  backing.space().ReturnBeyond(backing.needed_bytes());
  const Bytes own(backing.space().reserved());
  const Bytes tree = parts_.member->session().TreeReserved(SharedSpace::kFile);
  backing.SetSizeLimit(StorageBounds::FileShare(options.backing_size, tree, own).raw());
}

void LiveReclaimPort::FollowWriteLimit(const Options& options) {
  const uint64_t period_ns = uint64_t{options.write_period_s} * 1'000'000'000;
  storage().backing()->ChangeWearLimit(options.write_limit.raw(), period_ns);
}

void LiveReclaimPort::AskForDensity() {
  if (storage().writes()) return;
  const Bytes bound = std::min(parts_.paging->watermarks().share_of, parts_.paging->arena());
  const std::optional<Bytes> target = bounds_.DensityTarget(storage().store().PoolBytes(), bound);
  if (target) storage().writeback().Ask(target->raw());
}

void LiveReclaimPort::WarnIfStuck() {
  if (!storage().writeback().stuck()) return;
  const BackingStore& backing = *storage().backing();
  if (backing.closed()) {
    parts_.notices->Backing(BackingTrouble::kFailed, {backing.last_error(), ""});
  } else if (backing.counters().no_space.Get() > 0) {
    parts_.notices->Backing(BackingTrouble::kFull, {backing.last_error(), ""});
  } else if (backing.counters().over_budget.Get() > 0) {
    parts_.notices->Backing(BackingTrouble::kWriteLimit, {0, ""});
  }
}

void LiveReclaimPort::ScanMappings() {
  PagerSink sink(parts_.paging->pager());
  parts_.scanner->Scan(sink);
  statistics().mappings_left.Set(parts_.scanner->mappings_left());
  PinRobustMutexes(sink);
  CheckDiscards();
}

// Reading a list costs a system call for each thread. With many threads the next one continues
// where this scan stopped.
void LiveReclaimPort::PinRobustMutexes(RangeSink& sink) {
  const size_t count = parts_.scanner->thread_count();
  for (size_t i = 0; i < std::min(count, kListsOfOneScan); ++i) {
    if (next_list_ >= count) next_list_ = 0;
    robust_lists_.Pin(parts_.scanner->thread_hints()[next_list_++], sink);
  }
}

void LiveReclaimPort::CheckDiscards() {
  Pager& pager = parts_.paging->pager();
  if (fence_.armed()) {
    if (fence_.Passed()) pager.TrackDiscardedAgain();
  } else if (pager.CloseDiscards()) {
    fence_.Arm();
    parts_.scanner->ForEachThread(
        [](void* fence, uint32_t thread) { static_cast<DiscardFence*>(fence)->AddThread(thread); },
        &fence_);
  }
}

size_t LiveReclaimPort::Isolate(size_t want) { return parts_.paging->pager().Isolate(want); }

size_t LiveReclaimPort::StoreOldest(size_t max) {
  return parts_.paging->pager().StoreOldest(parts_.paging->daemon_context(), max);
}

size_t LiveReclaimPort::ReleaseFrames(size_t max) {
  return parts_.paging->pager().ReleaseFrames(max);
}

void LiveReclaimPort::BreakCow(size_t max) {
  constexpr size_t kMost = 64;
  uint64_t addresses[kMost];
  const size_t count = parts_.paging->pager().TakeBusyPages({addresses, std::min(max, kMost)});
  Statistics& counts = statistics();
  const bool pays =
      CopyingPays(parts_.meter->sharers_per_mille(), Bytes(counts.compressed_bytes.Get()),
                  PageCount(counts.stored_pages.Get() + counts.kept_pages.Get()));
  OwnCowPort port(parts_.paging->address_space());
  parts_.paging->NoteMayFault();
  const size_t broken = uzswap::BreakCow(port, {addresses, count}, pays, counts);
  const size_t isolated = parts_.paging->pager().IsolatePages({addresses, broken});
  if (isolated > 0) parts_.paging->NoteUnshared();
}

// The pager sees the difference when it charges the pool the next time.
bool LiveReclaimPort::TrimPool() {
  const TrimResult trimmed = storage().Trim();
  statistics().objects_moved.Add(trimmed.objects_moved);
  statistics().frames_freed.Add(trimmed.frames_freed);
  return trimmed.more;
}

WriterState LiveReclaimPort::writer() {
  const Writeback& writeback = storage().writeback();
  return {writeback.shrinking(), storage().writes() && !writeback.stuck()};
}

void LiveReclaimPort::AwaitWriter() { os::SleepFor(1'000'000); }

void LiveReclaimPort::WarnOverLimit(Bytes tree, bool progress) {
  LiveResidentCauses causes(*parts_.scanner, parts_.paging->address_space());
  parts_.notices->OverLimit({tree, parts_.member->session().limit(), progress}, &causes);
}

}  // namespace uzswap
