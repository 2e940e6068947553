// The keeper: looks at the process's memory as often as its growth could matter, and keeps the
// tree of processes below the limit.
#include <algorithm>

#include "engine/engine.h"
#include "os/program_stderr.h"
#include "os/text_line.h"
#include "os/thread.h"

namespace uzswap {
namespace {

constexpr int64_t kScanPages = 64;              // growth outside care that asks for a scan
constexpr uint64_t kScanEveryNs = 500'000'000;  // and without growth
constexpr size_t kBatch = 64;
constexpr size_t kCompressed = 16;
constexpr size_t kFruitlessMax = 8;
constexpr uint64_t kShareEveryNs = 20'000'000;
constexpr int64_t kSharedBytesMin = 1 << 20;
constexpr uint64_t kIdleFrames = 64;
// Processes smaller than this are not worth a pager.
constexpr uint64_t kActivePagesMin = 512;

int64_t ToPages(Bytes bytes) { return static_cast<int64_t>(PagesWithin(bytes).raw()); }

}  // namespace

void Engine::Keep() {
  while (true) {
    Obey();
    Look();
    if (active_ && headroom_.Get() < levels_.room_low) KeepRoom();
    SleepFor(PollIntervalNs(headroom_pages_ * static_cast<int64_t>(kPageSize)));
  }
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
  const Bytes pool = active_ ? store_.PoolBytes() : Bytes(0);
  counts.pool_total_size.Set(pool.raw());
  counts.pool_total_size_peak.RaiseTo(pool.raw());
  const Bytes usage = Usage(anonymous);
  const Bytes tree = slot_ ? slot_->Publish(usage, pool) : session_->TreeUsage() + usage;
  headroom_pages_ = ToPages(levels_.target) - ToPages(tree);
  headroom_.Set(headroom_pages_);

  if (!active_) {
    if (tree < levels_.adopt || PagesWithin(anonymous).raw() < kActivePagesMin) return;
    const Result<void> activated = Activate();
    if (!activated.ok()) GiveUp(activated.error().what, activated.error());
  }
  ScanIfGrown(ToPages(anonymous));
  if (headroom_pages_ < levels_.room_high) TrimPool();
  if (headroom_pages_ >= 0) return;
  if (session_->MarkDead() > 0) return;  // somebody's share came free: look again
  // Each process gives in proportion to what it holds.
  const int64_t mine = -headroom_pages_ * ToPages(anonymous) / std::max<int64_t>(1, ToPages(tree));
  if (!Reclaim(std::max<int64_t>(mine, 1))) WarnIfOver(tree);
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
      .Text(" pages did not compress; it goes on above the limit\n");
  os::WriteToProgramStderr(line.view());
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
  const size_t count = pager_.BusyPages(addresses, kBatch);
  for (size_t i = 0; i < count; ++i) os::PopulateWrite(addresses[i], kPageSize);
  pager_.CoolDown(addresses, count);
}

void Engine::ScanIfGrown(int64_t anonymous_pages) {
  const Pager::Picture picture = pager_.Look();
  const int64_t known = static_cast<int64_t>(picture.resident.raw() + picture.populated +
                                             pool_.arena().frames_populated().raw());
  const int64_t unadopted = anonymous_pages - known;
  const uint64_t now = os::MonotonicNanoseconds();
  if (unadopted < unadopted_pages_ + kScanPages && now - scanned_ns_ < kScanEveryNs) {
    unadopted_pages_ = std::min(unadopted_pages_, unadopted);
    return;
  }
  adopter_.Scan(pager_);
  scanned_ns_ = now;
  const Pager::Picture after = pager_.Look();
  unadopted_pages_ = unadopted - static_cast<int64_t>(after.resident.raw()) +
                     static_cast<int64_t>(picture.resident.raw());
}

// Pages on probation are compressed oldest first, and fresh victims take their place, so that
// a page has a while to be touched before it costs a compression.
bool Engine::Reclaim(int64_t pages) {
  int64_t left = pages;
  for (size_t fruitless = 0; left > 0 && fruitless < kFruitlessMax;) {
    Obey();
    const Pager::Picture picture = pager_.Look();
    size_t gained = 0;
    if (picture.cached < levels_.inactive) gained += pager_.Take(kBatch);
    for (size_t done = 0; done < kBatch; done += kCompressed) {
      gained += pager_.CompressOldest(context_, kCompressed);
    }
    left -= static_cast<int64_t>(pager_.Drain(kBatch));
    if (gained == 0) Unshare();
    fruitless = gained == 0 ? fruitless + 1 : 0;
  }
  return left <= 0;
}

// Frames that the pool holds but does not use: a few are kept for what is stored next.
void Engine::TrimPool() {
  const uint64_t idle =
      pool_.arena().frames_populated().raw() - pool_.arena().frames_in_use().raw();
  if (idle <= kIdleFrames) return;
  const PageCount released = pool_.arena().ReleaseFreeFrames(PageCount(idle - kIdleFrames));
  headroom_.Give(static_cast<int64_t>(released.raw()));
  headroom_pages_ += static_cast<int64_t>(released.raw());
}

// Room for the faults to come, made before they come.
void Engine::KeepRoom() {
  while (headroom_.Get() < levels_.room_high) {
    if (pager_.Look().cached == 0) return;
    const size_t gained = pager_.CompressOldest(context_, kCompressed);
    if (pager_.Drain(kBatch) == 0 && gained == 0) return;
    Obey();
  }
}

}  // namespace uzswap
