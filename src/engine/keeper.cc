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
// Processes smaller than this are not worth a pager.
constexpr uint64_t kActivePagesMin = 512;

int64_t ToPages(Bytes bytes) { return static_cast<int64_t>(PagesWithin(bytes).raw()); }

}  // namespace

void Engine::Keep() {
  while (true) {
    Obey();
    Look();
    if (active_) KeepStock();
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
  const Bytes pool(counts.pool_total_size.Get());
  const Bytes tree = slot_ ? slot_->Publish(anonymous, pool) : session_->TreeUsage() + anonymous;
  headroom_pages_ = ToPages(levels_.target) - ToPages(tree);
  headroom_.Set(headroom_pages_);

  if (!active_) {
    if (tree < levels_.adopt || PagesWithin(anonymous).raw() < kActivePagesMin) return;
    const Result<void> activated = Activate();
    if (!activated.ok()) GiveUp(activated.error().what, activated.error());
  }
  ScanIfGrown(ToPages(anonymous));
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

// Frames on probation are compressed oldest first, and fresh victims take their place, so that
// a page has a while to be touched before it costs a compression.
bool Engine::Reclaim(int64_t pages) {
  int64_t left = pages;
  size_t fruitless = 0;
  while (left > 0 && fruitless < 8) {
    Obey();
    const Pager::Picture picture = pager_.Look();
    const auto spare = static_cast<int64_t>(picture.free);
    if (spare > 0) {
      const size_t released = pager_.ReleaseFree(static_cast<size_t>(std::min(spare, left)));
      left -= static_cast<int64_t>(released);
      if (left <= 0) break;
    }
    size_t gained = 0;
    if (picture.cached < levels_.inactive) gained += pager_.Take(kBatch);
    for (size_t done = 0; done < kBatch; done += 16) {
      gained += pager_.CompressOldest(context_, 16);
    }
    fruitless = gained == 0 ? fruitless + 1 : 0;
  }
  return left <= 0;
}

// Frames for the faults to come.
void Engine::KeepStock() {
  for (int round = 0; round < 64; ++round) {
    const Pager::Picture picture = pager_.Look();
    if (headroom_.Get() > static_cast<int64_t>(levels_.free_high)) return;
    if (picture.free >= levels_.free_high || picture.cached == 0) return;
    if (picture.free >= levels_.free_low && picture.cached <= levels_.inactive) return;
    if (pager_.CompressOldest(context_, 16) == 0) return;
    Obey();
  }
}

}  // namespace uzswap
