// The keeper's look at what lies below the pager: pool, writer and backing file.
#include <algorithm>

#include "engine/engine.h"
#include "os/text_line.h"
#include "os/thread.h"

namespace uzswap {
namespace {

constexpr uint64_t kBoundsEveryNs = 20'000'000;
constexpr uint64_t kTotalsEveryNs = 2'000'000;
// A process of a large tree may still keep this much.
constexpr uint64_t kPoolBytesMin = 64 * kPageSize;
constexpr uint64_t kFileBytesMin = 1 << 20;

}  // namespace

// The cache and the writer count for themselves; the session is told what came since last time.
void Engine::ReportCache() {
  CacheCounters cache;
  cache_.cache().Count(cache);
  const WritebackCounters& writer = cache_.writeback().counters();
  const BackingCounters none;
  BackingStore* backing = cache_.backing();
  const BackingCounters& file = backing != nullptr ? backing->counters() : none;
  const struct {
    RelaxedCounter Statistics::*figure;
    uint64_t value;
  } sums[kReported] = {
      {&Statistics::zswpwb, cache.zswpwb.Get()},
      {&Statistics::frames_freed, writer.frames_freed.Get()},
      {&Statistics::objects_evicted, writer.objects_evicted.Get()},
      {&Statistics::objects_moved, writer.objects_moved.Get()},
      {&Statistics::recompressed_pages, cache.recompressed.Get()},
      {&Statistics::lost_races, cache.load_retries.Get() + cache.writes_lost.Get() +
                                    cache.relocations_lost.Get() + cache.recompress_lost.Get() +
                                    cache.evict_gone.Get()},
      {&Statistics::backing_written_bytes, file.bytes_written.Get()},
      {&Statistics::backing_payload_bytes, file.payload_bytes.Get()},
      {&Statistics::backing_requests, file.write_requests.Get()},
      {&Statistics::backing_reads, file.reads.Get()},
      {&Statistics::backing_errors, file.write_errors.Get() + file.read_errors.Get() +
                                        file.corrupt_objects.Get() + file.misplaced_objects.Get()},
      {&Statistics::backing_refusals, writer.blocked.Get()},
  };
  for (int i = 0; i < kReported; ++i) {
    if (!forget_reported_) (statistics().*sums[i].figure).Add(sums[i].value - reported_[i]);
    reported_[i] = sums[i].value;
  }
  forget_reported_ = false;
  statistics().stored_incompressible_pages.Set(cache.uncompressed_in.Get() -
                                               cache.uncompressed_out.Get());
  statistics().written_back_pages.Set(cache.disk_in.Get() - cache.disk_out.Get());
  statistics().written_back_bytes.Set(cache.disk_bytes_in.Get() - cache.disk_bytes_out.Get());
  if (backing != nullptr) statistics().backing_queue_peak.RaiseTo(file.deepest_queue.Get());

  const uint64_t now = os::MonotonicNanoseconds();
  if (now - totals_ns_ < kTotalsEveryNs) return;
  totals_ns_ = now;
  const PoolStatistics pool = cache_.pool().Snapshot();
  statistics().compressed_bytes.Set(pool.object_bytes);
}

// Other processes of the tree have pools and files too; what they leave of the bounds is ours.
void Engine::ShareBounds() {
  const uint64_t now = os::MonotonicNanoseconds();
  if (now - shared_bounds_ns_ < kBoundsEveryNs) return;
  shared_bounds_ns_ = now;
  const Options options = session_->options();
  const auto left = [](uint64_t bound, Bytes tree, uint64_t own, uint64_t least) {
    const uint64_t others = tree.raw() > own ? tree.raw() - own : 0;
    return std::max(bound > others ? bound - others : 0, least);
  };
  if (options.pool_limit.raw() != 0 && !cache_.is_child()) {
    cache_.cache().gate().SetLimit(left(options.pool_limit.raw(), session_->TreePool(),
                                        statistics().pool_total_size.Get(), kPoolBytesMin));
  }
  if (!cache_.writes()) return;
  BackingStore& backing = *cache_.backing();
  cache_.ReleaseChildren();
  statistics().backing_file_bytes.Set(backing.file_bytes());
  statistics().backing_live_bytes.Set(backing.segments().live_bytes());
  if (options.backing_size.raw() != 0) {
    backing.SetSizeLimit(left(options.backing_size.raw(), session_->TreeBacking(),
                              statistics().backing_file_bytes.Get(), kFileBytesMin));
  }
  WarnIfStuck();
}

// Where nothing can be written, aged pages become denser once the pool is more than half of
// what there is: below that, resident pages are worth more time than pool.
void Engine::AskForDensity() {
  if (cache_.writes()) return;
  const uint64_t pool = cache_.store().PoolBytes().raw();
  const uint64_t half = levels_.limit.raw() / 2;
  if (pool <= half) {
    asked_pool_bytes_ = 0;
  } else if (pool > asked_pool_bytes_ + asked_pool_bytes_ / 16) {
    asked_pool_bytes_ = pool;
    cache_.writeback().Ask(half);
  }
}

void Engine::WarnBacking(const char* what, Error error) {
  if (!session_->TakeWarning(Warning::kBacking)) return;
  os::TextLine<256> line;
  line.Text("uzswap: ").Text(what);
  if (error.what != nullptr && *error.what != 0) line.Text(": ").Text(error.what);
  if (error.errno_value != 0) {
    line.Text(" (errno ").Decimal(static_cast<uint64_t>(error.errno_value)).Text(")");
  }
  line.Text("; cold pages stay compressed in memory\n");
  Say(line.view());
}

void Engine::WarnIfStuck() {
  if (!cache_.writeback().stuck()) return;
  const BackingStore& backing = *cache_.backing();
  if (backing.closed()) {
    WarnBacking("writing to the backing store failed", {backing.last_error(), ""});
  } else if (backing.counters().no_space.Get() > 0) {
    WarnBacking("the backing store is full", {backing.last_error(), ""});
  } else if (backing.counters().over_budget.Get() > 0) {
    WarnBacking("the write limit of the backing store is used up", {0, ""});
  }
}

void Engine::PageLost(void* self, uint64_t address, int error) {
  auto* engine = static_cast<Engine*>(self);
  os::TextLine<256> line;
  line.Text("uzswap: ").Text(engine->name_).Text(": the page at 0x").Hexadecimal(address);
  if (error != 0) {
    line.Text(" cannot be read back from the backing store (errno ")
        .Decimal(static_cast<uint64_t>(error))
        .Text(")");
  } else {
    line.Text(" came back damaged from the backing store");
  }
  line.Text("; who touches it gets SIGBUS\n");
  engine->Say(line.view());
}

}  // namespace uzswap
