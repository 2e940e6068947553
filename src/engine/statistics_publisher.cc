#include "engine/statistics_publisher.h"

namespace uzswap {

void StatisticsPublisher::Publish(const CacheCounters& cache, const WritebackCounters& writer,
                                  const BackingCounters* file, Statistics& to) {
  const BackingCounters none;
  const BackingCounters& disk = file != nullptr ? *file : none;
  const struct {
    RelaxedCounter Statistics::*figure;
    uint64_t value;
  } sums[kSums] = {
      {&Statistics::zswpwb, cache.zswpwb.Get()},
      {&Statistics::frames_freed, writer.frames_freed.Get()},
      {&Statistics::objects_evicted, writer.objects_evicted.Get()},
      {&Statistics::objects_moved, writer.objects_moved.Get()},
      {&Statistics::recompressed_pages, cache.recompressed.Get()},
      {&Statistics::densified_pages, writer.objects_densified.Get()},
      {&Statistics::lost_races, cache.load_retries.Get() + cache.writes_lost.Get() +
                                    cache.relocations_lost.Get() + cache.recompress_lost.Get() +
                                    cache.evict_gone.Get()},
      {&Statistics::backing_written_bytes, disk.bytes_written.Get()},
      {&Statistics::backing_idle_bytes, writer.idle_bytes.Get()},
      {&Statistics::backing_payload_bytes, disk.payload_bytes.Get()},
      {&Statistics::backing_requests, disk.write_requests.Get()},
      {&Statistics::backing_reads, disk.reads.Get()},
      {&Statistics::backing_errors, disk.write_errors.Get() + disk.read_errors.Get() +
                                        disk.corrupt_objects.Get() + disk.misplaced_objects.Get()},
      {&Statistics::backing_refusals, writer.blocked.Get()},
  };
  for (int i = 0; i < kSums; ++i) {
    if (!forget_) (to.*sums[i].figure).Add(sums[i].value - published_[i]);
    published_[i] = sums[i].value;
  }
  forget_ = false;
  to.stored_incompressible_pages.Set(cache.uncompressed_in.Get() - cache.uncompressed_out.Get());
  to.written_back_pages.Set(cache.disk_in.Get() - cache.disk_out.Get());
  to.written_back_bytes.Set(cache.disk_bytes_in.Get() - cache.disk_bytes_out.Get());
  if (file != nullptr) to.backing_queue_peak.RaiseTo(disk.deepest_queue.Get());
}

bool StatisticsPublisher::PoolDue(uint64_t now_ns) {
  if (now_ns - pool_published_ns_ < kPoolEveryNs) return false;
  pool_published_ns_ = now_ns;
  return true;
}

}  // namespace uzswap
