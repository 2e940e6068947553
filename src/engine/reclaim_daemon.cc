#include "engine/reclaim_daemon.h"

#include <algorithm>

namespace uzswap {

void ReclaimDaemon::Init(ReclaimPort& port, Headroom& headroom, const Watermarks& watermarks) {
  port_ = &port;
  headroom_ = &headroom;
  watermarks_ = watermarks;
}

ReclaimDaemon::Step ReclaimDaemon::Run() {
  const uint64_t begin = port_->NowNs();
  const ReclaimOutcome outcome = Work();
  ++outcomes_[static_cast<size_t>(outcome)];
  const bool over_limit = usage_.tree > watermarks_.limit && !usage_.minor;
  if (outcome == ReclaimOutcome::kProgress || outcome == ReclaimOutcome::kTreeShrank) {
    return {outcome, 0, over_limit};
  }
  const Statistics& counts = port_->statistics();
  const uint64_t resident = counts.resident_bytes.Get();
  const bool small = !port_->active() && resident < 4 * kActivePagesMin * kPageSize;
  const bool fruitless = fruitless_ > kFruitlessMax;
  const uint64_t wasted_ns = fruitless_ > kWastedFrom ? port_->NowNs() - begin : 0;
  return {
      outcome,
      pause_.Next({headroom_->Get(), counts.faults.Get(), resident, small, fruitless, wasted_ns}),
      over_limit};
}

void ReclaimDaemon::FollowLimit() {
  Watermarks wanted = port_->WantedWatermarks();
  // They are made when the process becomes active.
  if (port_->active()) wanted.frames = watermarks_.frames;
  // As WatermarksFor has it: what stays staged must leave frames for what is being stored.
  wanted.inactive = std::min(wanted.inactive, static_cast<size_t>(wanted.frames.raw()) / 6);
  if (wanted == watermarks_) return;
  watermarks_ = wanted;
  over_limit_ns_ = 0;
  fruitless_ = 0;
  port_->statistics().limit_changes.Add();
  port_->UseWatermarks(watermarks_);
  // Else a process that was killed counts until another one notices, and a command that waits for
  // less usage would fail.
  port_->MarkDead();
}

ReclaimOutcome ReclaimDaemon::Work() {
  FollowLimit();
  usage_ = port_->MeasureUsage();
  if (port_->active()) {
    port_->UpdateStorage();
  } else {
    ReclaimOutcome why = ReclaimOutcome::kWatching;
    if (!BeActive(&why)) return why;
  }
  NoteLongOverLimit();
  ScanIfGrown();
  if (MustMakeRoom()) return MakeRoom();
  if (trim_more_) trim_more_ = port_->TrimPool();
  return usage_.spared ? WithoutProgress() : ReclaimOutcome::kEnoughRoom;
}

bool ReclaimDaemon::BeActive(ReclaimOutcome* why) {
  if (usage_.tree < watermarks_.adopt) return false;
  if (PagesWithin(usage_.anonymous).raw() < kActivePagesMin) return false;
  // What the kernel refused once it will refuse again.
  if (!refused_) {
    // Before anything that takes time: a touch of a huge page takes 2 MiB.
    port_->PermitHugePages(false);
    refused_ = !port_->Activate();
    if (refused_) port_->PermitHugePages(true);
  }
  if (refused_) *why = ReclaimOutcome::kRefused;
  return !refused_;
}

void ReclaimDaemon::ScanIfGrown() {
  const PageCounts before = port_->CountPages();
  const int64_t unregistered = UnregisteredGrowth::Pages(usage_.anonymous, before);
  const uint64_t now = port_->NowNs();
  const bool due = now - scanned_ns_ >= kScanEveryNs;
  if (!growth_.AsksForScan(unregistered) && !due) return;
  port_->ScanMappings();
  if (due) {
    // A tree that has become small, with some distance so that it does not change at each scan.
    const Bytes low(watermarks_.adopt.raw() / 8 * 7);
    if (usage_.tree < low) port_->PermitHugePages(true);
    if (usage_.tree >= watermarks_.adopt) port_->PermitHugePages(false);
    // Also when there is room enough: what is not used should not be held.
    trim_more_ = port_->TrimPool();
    port_->MeasureMetadata();
  }
  scanned_ns_ = now;
  const auto resident_before = static_cast<int64_t>(before.resident);
  const auto resident_after = static_cast<int64_t>(port_->CountPages().resident);
  growth_.Scanned(unregistered - resident_after + resident_before);
}

// Reclaim from several processes that use more than the limit at once may never end.
void ReclaimDaemon::NoteLongOverLimit() {
  const uint64_t now = port_->NowNs();
  if (usage_.tree <= watermarks_.limit) {
    over_limit_ns_ = 0;
  } else if (over_limit_ns_ == 0) {
    over_limit_ns_ = now;
  } else if (now - over_limit_ns_ >= kOverLimitNs && !AwaitsEnd(now)) {
    over_limit_ns_ = now;
    port_->statistics().limit_exceeded.Add();
    port_->WarnOverLimit(usage_.tree, /*progress=*/true);
  }
}

bool ReclaimDaemon::AwaitsEnd(uint64_t now_ns) {
  return now_ns - over_limit_ns_ < kEndingNs && port_->TreeIsEnding();
}

bool ReclaimDaemon::MustMakeRoom() {
  const int64_t room = headroom_->Get();
  if (room >= watermarks_.room_high || usage_.minor) making_room_ = false;
  if (room < watermarks_.room_low && !usage_.minor) making_room_ = true;
  if (!making_room_ && !usage_.spared) fruitless_ = 0;
  return making_room_;
}

// Staged pages are compressed oldest first, and newly isolated ones take their place, so that a
// page has a while to be touched before it costs a compression.
ReclaimOutcome ReclaimDaemon::MakeRoom() {
  trim_more_ = port_->TrimPool();
  // Pages that a fork left shared: while others are moved, these would stay. Copies use more memory
  // than what is shared until every process has given up its own, so not before it must be.
  if (usage_.tree > watermarks_.limit) port_->BreakCow(kBatch);
  const PageCounts pages = port_->CountPages();
  // The pager isolates pages too, on the processor where that is cheap; this is for growth that
  // causes no faults. Isolating alone gains nothing yet.
  if (pages.staged < watermarks_.inactive / 2 || usage_.headroom_pages < 0) port_->Isolate(kBatch);
  if (StoreAndRelease(*port_) > 0 || trim_more_) {
    fruitless_ = 0;
    return ReclaimOutcome::kProgress;
  }
  return WithoutProgress();
}

size_t ReclaimDaemon::StoreAndRelease(ReclaimPort& port) {
  size_t gained = 0;
  for (size_t done = 0; done < kBatch; done += kStoredAtOnce) {
    gained += port.StoreOldest(kStoredAtOnce);
  }
  return gained + port.ReleaseFrames(2 * kBatch);
}

ReclaimOutcome ReclaimDaemon::WithoutProgress() {
  if (port_->MarkDead() > 0) return ReclaimOutcome::kTreeShrank;
  const WriterState writer = port_->writer();
  // What the writer needs is time.
  if (writer.shrinking) {
    fruitless_ = 0;
    return ReclaimOutcome::kWriterBusy;
  }
  // A spared working set is not isolated, so nothing needs to be made movable.
  if (making_room_) port_->BreakCow(kBatch);
  const int patience = writer.can_write ? kWriterPatience : 1;
  if (++fruitless_ <= kFruitlessMax * patience) return ReclaimOutcome::kNoProgress;
  if (usage_.tree <= watermarks_.limit) return ReclaimOutcome::kNoProgress;
  if (port_->NowNs() - over_limit_ns_ < kFruitlessNs) return ReclaimOutcome::kNoProgress;
  if (AwaitsEnd(port_->NowNs())) return ReclaimOutcome::kNoProgress;
  port_->statistics().limit_exceeded.Add();
  port_->WarnOverLimit(usage_.tree, /*progress=*/false);
  return ReclaimOutcome::kOverLimit;
}

}  // namespace uzswap
