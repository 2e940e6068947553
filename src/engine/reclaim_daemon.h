// ReclaimDaemon: keeps the usage of the tree below its limit. One step looks once and does at most
// one batch of work, so that memory which the program allocates without telling is seen, and
// registered, however much there is to reclaim.
//
//   Step
//    |  another limit, or asked to shrink? all parts follow
//    |  measure usage
//    |  not active? ── usage below `adopt`, or a tiny process ──────────────> kWatching
//    |       |      ── activation fails, now or earlier ────────────────────> kRefused
//    |       `activate
//    |  publish statistics, share the bounds of the storage
//    |  scan the mappings if unregistered memory grew by 64 pages, or every 500 ms
//    |  only the working set is left (watermarks.h) ── as without progress, see below
//    |  headroom above room_high, or a minor process ───────────────────────> kEnoughRoom
//    |  (between room_low and room_high: as in the last step)
//    |  trim the pool; usage above the limit: break the sharing of pages that the kernel refused
//    |  to move; isolate; store the oldest; release frames
//    |  a page was stored, a frame released, or idle pool frames are left ──> kProgress
//    |  a process of the tree is gone, its usage no longer counts ──────────> kTreeShrank
//    |  the writer is shrinking the pool ───────────────────────────────────> kWriterBusy
//    |  break the sharing of pages that the kernel refused to move
//    |  too many such steps in a row, and usage above the limit ────────────> kOverLimit
//    `  otherwise ──────────────────────────────────────────────────────────> kNoProgress
//
// kProgress and kTreeShrank: the next step follows at once. Everything else: after a pause that
// follows from the headroom (PollIntervalNs), and is longer for a process that neither grows nor
// faults. Every outcome is counted.
//
// Usage above the limit for a second is reported in any case. Where a process of the tree is about
// to end, so that what it holds is freed soon, it is reported after five seconds.
//
// The daemon acts through ReclaimPort only, so that tests step it without a kernel. One thread.
//
// Size: thirteen members, because it remembers from step to step what each branch needs.
#ifndef UZSWAP_ENGINE_RECLAIM_DAEMON_H_
#define UZSWAP_ENGINE_RECLAIM_DAEMON_H_

#include <cstddef>
#include <cstdint>

#include "engine/poll_pause.h"
#include "engine/reclaim_port.h"
#include "engine/unregistered_growth.h"
#include "engine/usage_meter.h"
#include "reclaim/watermarks.h"

namespace uzswap {

enum class ReclaimOutcome : uint8_t {
  kWatching,
  kRefused,
  kEnoughRoom,
  kProgress,
  kTreeShrank,
  kWriterBusy,
  kNoProgress,
  kOverLimit,
};
inline constexpr size_t kReclaimOutcomes = 8;

class ReclaimDaemon {
 public:
  static constexpr size_t kBatch = 64;         // pages of one step
  static constexpr size_t kStoredAtOnce = 16;  // pages compressed without looking up
  static constexpr int64_t kScanPages = UnregisteredGrowth::kScanPages;
  static constexpr uint64_t kScanEveryNs = 500'000'000;  // and without growth
  static constexpr uint64_t kActivePagesMin = 512;       // smaller processes are only watched
  // Steps without progress before their cost is limited (PollPause).
  static constexpr int kWastedFrom = 4;
  // Steps without progress before usage above the limit is an outcome of its own. With a writer
  // that can write it is longer: written pages are freed a little later.
  static constexpr int kFruitlessMax = 64;
  static constexpr int kWriterPatience = 32;
  // And for so long: processes that have ended count until others have noticed it.
  static constexpr uint64_t kFruitlessNs = 250'000'000;
  // Usage above the limit for this long is reported even while pages are reclaimed.
  static constexpr uint64_t kOverLimitNs = 1'000'000'000;
  // And for this long even while a process of the tree ends.
  static constexpr uint64_t kEndingNs = 5'000'000'000;

  // `port` and `headroom` must outlive the daemon.
  void Init(ReclaimPort& port, Headroom& headroom, const Watermarks& watermarks);

  struct Step {
    ReclaimOutcome outcome;
    uint64_t pause_ns;        // 0: the next step at once
    bool over_limit = false;  // usage exceeds the limit, and this process has its part in it
  };
  Step Run();

  // Stores a batch of the oldest staged pages, and releases frames. Returns how much was gained.
  static size_t StoreAndRelease(ReclaimPort& port);

  [[nodiscard]] uint64_t outcomes(ReclaimOutcome outcome) const {
    return outcomes_[static_cast<size_t>(outcome)];
  }

 private:
  void FollowLimit();
  ReclaimOutcome Work();
  // False: this process stays unmanaged; *why says for what reason.
  bool BeActive(ReclaimOutcome* why);
  void ScanIfGrown();
  void NoteLongOverLimit();
  // Is usage above the limit only until a process has ended?
  bool AwaitsEnd(uint64_t now_ns);
  bool MustMakeRoom();
  ReclaimOutcome MakeRoom();
  // Nothing was gained: because of what, and since when?
  ReclaimOutcome WithoutProgress();

  ReclaimPort* port_ = nullptr;
  Headroom* headroom_ = nullptr;
  Watermarks watermarks_;
  Usage usage_;  // of this step
  PollPause pause_;
  bool refused_ = false;
  bool making_room_ = false;
  bool trim_more_ = false;  // idle frames of the pool are left
  int fruitless_ = 0;       // steps without progress in a row
  UnregisteredGrowth growth_;
  uint64_t scanned_ns_ = 0;
  uint64_t over_limit_ns_ = 0;  // since when usage is above the limit; 0: it is not
  uint64_t outcomes_[kReclaimOutcomes] = {};
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_RECLAIM_DAEMON_H_
