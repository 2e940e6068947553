#include "engine/usage_meter.h"

#include <algorithm>

namespace uzswap {
namespace {

int64_t ToPages(Bytes bytes) { return static_cast<int64_t>(PagesWithin(bytes).raw()); }

Bytes Difference(Bytes from, Bytes what) { return from > what ? from - what : Bytes(0); }

// Pages that n processes map are counted whole in `all`, and as 1/n in the share.
uint64_t SharersPerMille(Bytes all, const os::AnonymousSplit& split) {
  const Bytes own_part = Difference(split.share, split.exclusive);
  if (own_part.raw() == 0) return 1000;
  return std::max<uint64_t>(1000, Difference(all, split.exclusive).raw() * 1000 / own_part.raw());
}

// The part of such pages that is in the share of this process.
uint64_t SharePerMille(const os::PageSharing& pages, uint64_t sharers_per_mille) {
  if (pages.present == 0) return 1000;
  const uint64_t others = pages.present - pages.mapped_once;
  const uint64_t share = pages.mapped_once * 1000 + others * 1'000'000 / sharers_per_mille;
  return share / pages.present;
}

}  // namespace

void UsageMeter::Init(UsageReaders& readers, SessionMember& member, Headroom& headroom,
                      const Watermarks& watermarks) {
  readers_ = &readers;
  member_ = &member;
  headroom_ = &headroom;
  watermarks_ = watermarks;
}

Usage UsageMeter::Measure() {
  Usage usage;
  usage.anonymous = readers_->AnonymousBytes();
  const Bytes pool = readers_->PoolBytes();
  Statistics& counts = member_->statistics();
  counts.resident_bytes.Set(usage.anonymous.raw());
  counts.resident_bytes_peak.RaiseTo(usage.anonymous.raw());
  counts.pool_total_size.Set(pool.raw());
  counts.pool_total_size_peak.RaiseTo(pool.raw());
  const Bytes charge(charge_.load(std::memory_order_relaxed));
  usage.own = WithoutShared(usage.anonymous) + charge;
  const Bytes share = ShareOfPool(pool);
  const Bytes kept = pool_shrinks_ ? Difference(share, OwnOfPool(pool)) : share;
  usage.tree = member_->Publish(usage.own, share, kept);
  usage.headroom_pages = ToPages(watermarks_.target) - ToPages(usage.tree);
  SpareWorkingSet(pool, &usage);
  full_at_pages_.store(ToPages(usage.anonymous) + usage.headroom_pages, std::memory_order_relaxed);
  measured_ns_.store(readers_->NowNs(), std::memory_order_relaxed);
  headroom_->Set(usage.headroom_pages);
  charged_.store(charge.raw(), std::memory_order_release);
  // Less than half of the mean: the others hold the memory, and have the work.
  usage.minor = usage.own.raw() * member_->session().LiveCount() * 2 < usage.tree.raw();
  return usage;
}

// Measured against the last measurement, not against the present headroom: what faults took from
// that since is in RssAnon.
void UsageMeter::Refresh() {
  const uint64_t now = readers_->NowNs();
  if (now - measured_ns_.load(std::memory_order_relaxed) < kStaleNs) return;
  measured_ns_.store(now, std::memory_order_relaxed);
  headroom_->Set(full_at_pages_.load(std::memory_order_relaxed) -
                 ToPages(readers_->AnonymousBytes()));
  member_->statistics().late_measurements.Add();
}

void UsageMeter::SpareWorkingSet(Bytes pool, Usage* usage) {
  Session& session = member_->session();
  Statistics& counts = member_->statistics();
  const Bytes metadata(counts.metadata_bytes.Get());
  const Bytes own_metadata(metadata.raw() * shares_.metadata_per_mille / 1000);
  const Bytes others = pool_shrinks_ ? ShareOfPool(pool) + own_metadata : pool + metadata;
  const Bytes working_set = Difference(usage->own, others);
  const Bytes least = WorkingSetMin(watermarks_.share_of, session.LiveCount());
  const int64_t missing = ToPages(least) - ToPages(working_set);
  if (missing <= usage->headroom_pages) return;
  usage->spared = true;
  usage->headroom_pages = missing;
  counts.working_set_protected.Add();
}

void UsageMeter::MeasureMetadata() {
  member_->statistics().metadata_bytes.Set(readers_->MetadataBytes().raw());
}

void UsageMeter::ResetInChild() {
  shares_.read_ns = 0;
  NoteFork();
}

Bytes UsageMeter::WithoutShared(Bytes anonymous) {
  if (!sharing()) return anonymous;
  if (readers_->NowNs() - shares_.read_ns >= kShareEveryNs) ReadShares();
  return Difference(anonymous, shares_.of_others);
}

void UsageMeter::ReadShares() {
  const uint64_t now = readers_->NowNs();
  const std::optional<os::AnonymousSplit> split = readers_->AnonymousSplit();
  // The walk takes a while: what is compared with its result is read after it.
  const Bytes all = readers_->AnonymousBytes();
  const Bytes of_others = split ? Difference(all, split->share) : Bytes(0);
  const uint64_t sharers = split ? SharersPerMille(all, *split) : 1000;
  shares_ = {.read_ns = now, .of_others = of_others, .sharers_per_mille = sharers};
  // The last relative has gone, or has copied everything.
  if (of_others < kSharedMin) {
    shares_.of_others = Bytes(0);
    sharing_.store(false, std::memory_order_relaxed);
    return;
  }
  const os::PageSharing pool = readers_->PoolSharing();
  shares_.pool_per_mille = SharePerMille(pool, sharers);
  shares_.own_pool_per_mille = pool.present == 0 ? 1000 : pool.mapped_once * 1000 / pool.present;
  shares_.metadata_per_mille = SharePerMille(readers_->MetadataSharing(), sharers);
}

}  // namespace uzswap
