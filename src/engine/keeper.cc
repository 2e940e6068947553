// The keeper: looks at the process's memory as often as its growth could matter, and keeps the
// tree of processes below the limit.
#include <algorithm>

#include "engine/engine.h"
#include "os/text_line.h"
#include "os/thread.h"

namespace uzswap {
namespace {

constexpr int64_t kScanPages = 64;              // growth outside care that asks for a scan
constexpr uint64_t kScanEveryNs = 500'000'000;  // and without growth
constexpr size_t kBatch = 64;
constexpr size_t kCompressed = 16;
constexpr int kFruitlessMax = 64;
constexpr uint64_t kShareEveryNs = 20'000'000;
constexpr int64_t kSharedBytesMin = 1 << 20;
constexpr uint64_t kIdleFrames = 64;
// A process that neither grows nor faults is looked at less often, though never so seldom that
// it could leave the tolerance in between; a small one less often still.
constexpr int kQuietLooks = 100;
constexpr uint64_t kQuietIntervalNs = 2'000'000;
constexpr uint64_t kSmallQuietIntervalNs = 10'000'000;
// Processes smaller than this are not worth a pager.
constexpr uint64_t kActivePagesMin = 512;

int64_t ToPages(Bytes bytes) { return static_cast<int64_t>(PagesWithin(bytes).raw()); }

}  // namespace

// One look, then one batch of work if there is any: so memory that the program takes without
// telling is seen, and taken into care, however much there is to reclaim.
void Engine::Keep() {
  while (true) {
    Obey();
    Look();
    if (active_ && MustMakeRoom() && MakeRoom()) continue;
    SleepFor(Interval());
  }
}

uint64_t Engine::Interval() {
  const uint64_t interval = PollIntervalNs(headroom_.Get() * static_cast<int64_t>(kPageSize));
  const uint64_t faults = statistics().faults.Get();
  const uint64_t held = statistics().resident_bytes.Get();
  quiet_looks_ = faults == faults_seen_ && held == held_seen_ ? quiet_looks_ + 1 : 0;
  faults_seen_ = faults;
  held_seen_ = held;
  if (quiet_looks_ <= kQuietLooks) return interval;
  const bool small = !active_ && held < 4 * kActivePagesMin * kPageSize;
  return std::max(interval, small ? kSmallQuietIntervalNs : kQuietIntervalNs);
}

void Engine::SleepFor(uint64_t ns) {
  if (wake_.load(std::memory_order_relaxed) == 0) os::FutexWait(&wake_, 0, ns);
  wake_.store(0, std::memory_order_relaxed);
}

void Engine::Look() {
  const Bytes anonymous = memory_.AnonymousBytes();
  Statistics& counts = statistics();
  counts.resident_bytes.Set(anonymous.raw());
  counts.resident_bytes_peak.RaiseTo(anonymous.raw());
  const Bytes pool = active_ ? cache_.store().PoolBytes() : Bytes(0);
  counts.pool_total_size.Set(pool.raw());
  counts.pool_total_size_peak.RaiseTo(pool.raw());
  const Bytes usage = Usage(anonymous);
  tree_ = slot_ ? slot_->Publish(usage, pool) : session_->TreeUsage() + usage;
  headroom_pages_ = ToPages(levels_.target) - ToPages(tree_);
  headroom_.Set(headroom_pages_);
  // Small ones in a large tree leave the work to those who hold the memory.
  minor_ = usage.raw() * session_->LiveCount() * 2 < tree_.raw();

  if (active_) {
    ReportCache();
    ShareBounds();
    AskForDensity();
  } else {
    if (tree_ < levels_.adopt || PagesWithin(anonymous).raw() < kActivePagesMin) return;
    if (refused_) return;
    const Result<void> activated = Activate();
    if (!activated.ok()) {
      WarnRefused(activated.error());
      return;
    }
  }
  ScanIfGrown(ToPages(anonymous));
}

bool Engine::MustMakeRoom() {
  const int64_t room = headroom_.Get();
  if (room >= levels_.room_high || minor_) making_room_ = false;
  if (room < levels_.room_low && !minor_) making_room_ = true;
  if (!making_room_) fruitless_ = 0;
  return making_room_;
}

// Pages on probation are compressed oldest first, and fresh victims take their place, so that
// a page has a while to be touched before it costs a compression. False when nothing came of
// it: then it is worth a pause.
bool Engine::MakeRoom() {
  TrimPool();
  const Pager::Snapshot picture = pager_.TakeSnapshot();
  // The pager takes pages, too, on the processor where that is cheap; this is for growth that
  // causes no faults. Taking gains nothing yet.
  if (picture.staged < levels_.inactive / 2 || headroom_pages_ < 0) pager_.Isolate(kBatch);
  size_t gained = 0;
  for (size_t done = 0; done < kBatch; done += kCompressed) {
    gained += pager_.StoreOldest(context_, kCompressed);
  }
  gained += pager_.ReleaseFrames(2 * kBatch);
  if (gained > 0) {
    fruitless_ = 0;
    return true;
  }
  if (session_->MarkDead() > 0) return true;  // somebody's share came free
  // The writer is at it: what it needs is time.
  if (cache_.writeback().shrinking()) {
    fruitless_ = 0;
    return false;
  }
  Unshare();
  // What is written out comes free a little later.
  const int patience = cache_.writes() && !cache_.writeback().stuck() ? 32 : 1;
  if (++fruitless_ > kFruitlessMax * patience) WarnIfOver(tree_);
  return false;
}

// Once a tree: what does not compress stays, and the program goes on above its limit.
void Engine::WarnIfOver(Bytes tree) {
  if (tree <= levels_.limit) return;
  statistics().limit_exceeded.Add();
  if (!session_->TakeWarning(Warning::kOverLimit)) return;
  os::TextLine<256> line;
  line.Text("uzswap: the limit of ")
      .Decimal(levels_.limit.raw() >> 20)
      .Text(" MiB cannot be kept: the program holds ")
      .Decimal(tree.raw() >> 20)
      .Text(" MiB, and ")
      .Decimal(statistics().reject_compress_poor.Get())
      .Text(" attempts to compress a page gained nothing; it goes on above the limit\n");
  Say(line.view());
}

// Nothing has been taken into care yet, so the program can go on as if we were not there.
void Engine::WarnRefused(Error error) {
  refused_ = true;
  os::TextLine<256> line;
  line.Text("uzswap: ").Text(name_).Text(" goes on without uzswap, its memory is not limited: ");
  line.Text(error.what);
  if (error.errno_value != 0) {
    line.Text(" (errno ").Decimal(static_cast<uint64_t>(error.errno_value)).Text(")");
  }
  line.Text("\n");
  Say(line.view());
}

// Pages shared with a parent or child are counted by each of them. As long as there may be any,
// the kernel is asked for our share of them now and then.
Bytes Engine::Usage(Bytes anonymous) {
  if (!sharing_.load(std::memory_order_relaxed)) return anonymous;
  const uint64_t now = os::MonotonicNanoseconds();
  if (now - shared_ns_ >= kShareEveryNs) {
    shared_ns_ = now;
    const std::optional<Bytes> share = share_.AnonymousShare();
    const auto all = static_cast<int64_t>(memory_.AnonymousBytes().raw());
    shared_bytes_ = share ? std::max<int64_t>(0, all - static_cast<int64_t>(share->raw())) : 0;
    // The last relative has gone, or has copied everything.
    if (shared_bytes_ < kSharedBytesMin) {
      shared_bytes_ = 0;
      sharing_.store(false, std::memory_order_relaxed);
    }
  }
  const auto held = static_cast<int64_t>(anonymous.raw()) - shared_bytes_;
  return Bytes(static_cast<uint64_t>(std::max<int64_t>(0, held)));
}

// A page that was shared with a child stays unmovable after the child has gone, until it is
// written to. Not while it is shared: writing would copy it, and free nothing. The lock is not
// held, since a page that has left meanwhile must be served by the pager.
void Engine::Unshare() {
  if (sharing_.load(std::memory_order_relaxed)) return;
  uint64_t addresses[kBatch];
  const size_t count = pager_.TakeBusyPages(addresses);
  for (size_t i = 0; i < count; ++i) os::PopulateWrite(addresses[i], kPageSize);
  pager_.MakeReclaimable({addresses, count});
}

void Engine::ScanIfGrown(int64_t anonymous_pages) {
  const Pager::Snapshot picture = pager_.TakeSnapshot();
  const int64_t known = static_cast<int64_t>(picture.resident.raw() + picture.populated +
                                             cache_.arena().frames_populated().raw());
  const int64_t unadopted = anonymous_pages - known;
  const uint64_t now = os::MonotonicNanoseconds();
  if (unadopted < unadopted_pages_ + kScanPages && now - scanned_ns_ < kScanEveryNs) {
    unadopted_pages_ = std::min(unadopted_pages_, unadopted);
    return;
  }
  adopter_.Scan(pager_);
  // Also when there is room enough: what is not used should not be held.
  if (now - scanned_ns_ >= kScanEveryNs) TrimPool();
  scanned_ns_ = now;
  const Pager::Snapshot after = pager_.TakeSnapshot();
  unadopted_pages_ = unadopted - static_cast<int64_t>(after.resident.raw()) +
                     static_cast<int64_t>(picture.resident.raw());
}

// Objects move out of sparse frames when the pool has come to hold an eighth more than what is
// in it. Of the frames it does not use a few are kept for what is stored next.
void Engine::TrimPool() {
  const uint64_t used = ToBytes(cache_.arena().frames_in_use()).raw();
  if (used > statistics().compressed_bytes.Get() / 8 * 9 + kIdleFrames * kPageSize) {
    const CompactOutcome compacted = cache_.pool().CompactStep(kBatch);
    statistics().objects_moved.Add(compacted.objects_moved);
    statistics().frames_freed.Add(compacted.frames_freed);
  }
  const uint64_t idle =
      cache_.arena().frames_populated().raw() - cache_.arena().frames_in_use().raw();
  if (idle <= kIdleFrames) return;
  // The pager sees the difference when it charges the pool the next time.
  static_cast<void>(cache_.arena().ReleaseFreeFrames(PageCount(idle - kIdleFrames)));
}

}  // namespace uzswap
