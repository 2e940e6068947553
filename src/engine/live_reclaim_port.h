// LiveReclaimPort: what the reclaim daemon does, done to the process it runs in.
//
//   ReclaimDaemon ──> LiveReclaimPort ──┬── UsageMeter ─────> session record
//                                       ├── PagingStack ────> pager, pool, writer
//                                       ├── RangeScanner ───> pager
//                                       ├── StatisticsPublisher, StorageBounds
//                                       └── Notices
//
// Forwards, and decides nothing. The reclaim daemon's thread only.
//
// Size: 13 data members and 39 methods: 22 are the calls of the port that it implements, most
// others are steps of them.
#ifndef UZSWAP_ENGINE_LIVE_RECLAIM_PORT_H_
#define UZSWAP_ENGINE_LIVE_RECLAIM_PORT_H_

#include "engine/discard_fence.h"
#include "engine/fork_room.h"
#include "engine/paging_stack.h"
#include "engine/range_scanner.h"
#include "engine/reclaim_port.h"
#include "engine/robust_lists.h"
#include "engine/shrink_follower.h"
#include "engine/statistics_publisher.h"
#include "engine/storage_bounds.h"
#include "os/huge_pages.h"
#include "os/program_memory.h"

namespace uzswap {

class LiveReclaimPort final : public ReclaimPort {
 public:
  struct Parts {
    SessionMember* member = nullptr;
    Notices* notices = nullptr;
    PagingStack* paging = nullptr;
    UsageMeter* meter = nullptr;
    RangeScanner* scanner = nullptr;
  };
  void Init(const Parts& parts);
  void ResetInChild();

  uint64_t NowNs() override;
  Statistics& statistics() override { return parts_.member->statistics(); }
  Watermarks WantedWatermarks() override;
  void UseWatermarks(const Watermarks& watermarks) override;
  Usage MeasureUsage() override { return parts_.meter->Measure(); }
  void MeasureMetadata() override { parts_.meter->MeasureMetadata(); }
  bool active() override { return parts_.paging->active(); }
  bool Activate() override;

  void UpdateStorage() override;
  void ScanMappings() override;
  PageCounts CountPages() override { return parts_.paging->CountPages(); }
  size_t Isolate(size_t want) override;
  size_t StoreOldest(size_t max) override;
  size_t ReleaseFrames(size_t max) override;
  void BreakCow(size_t max) override;

  void PermitHugePages(bool permitted) override { huge_pages_.Permit(permitted); }
  bool TrimPool() override;
  WriterState writer() override;
  void AwaitWriter() override;

  uint32_t MarkDead() override { return parts_.member->session().MarkDead(); }
  bool TreeIsEnding() override { return parts_.member->session().EndingCount() != 0; }
  void WarnOverLimit(Bytes tree, bool progress) override;

 private:
  static constexpr size_t kListsOfOneScan = 256;
  // Pages that the kernel refused to move are tried again after this time.
  static constexpr uint64_t kRetryRefusedNs = 50'000'000;
  // What a miss costs outside of fault_ns: the fault's way through the kernel, waking two threads,
  // and taking another page out. A miss of tests/system/workloads/dicts.py costs 37 to 41 us in
  // all.
  static constexpr uint64_t kFaultOutsideNs = 20'000;

  void PinRobustMutexes(RangeSink& sink);
  void CheckDiscards();
  StorageStack& storage() { return parts_.paging->storage(); }
  // Each process's bounds follow from what the others hold.
  void ShareBounds(const Options& options);
  // `pools`: the bound of the tree's pools now.
  void SharePoolBound(Bytes pools);
  void ShareFileBound(const Options& options);
  void FollowWriteLimit(const Options& options);
  // Ends what is kept for forked relatives when nothing is shared any more.
  void NoteSharing();
  void NoteLasting(uint64_t now_ns);
  void OpenFileInChild(uint64_t now_ns);
  void RetryRefused(uint64_t now_ns);
  void AskForDensity();
  void PermitDensifying();
  void ChooseCodec(const Options& options);
  void WarnIfStuck();

  Parts parts_;
  StatisticsPublisher publisher_;
  StorageBounds bounds_;
  ShrinkFollower shrink_;
  DiscardFence fence_;
  RobustLists robust_lists_{os::ReadProgramMemory};
  size_t next_list_ = 0;
  uint64_t retried_ns_ = 0;
  uint64_t lasting_ns_ = 0;     // when a forked child has lived for long; 0: it has, or is none
  uint64_t child_file_ns_ = 0;  // when a forked child gets a file of its own; 0: not
  bool was_sharing_ = false;    // memory with forked relatives, since EndSharing
  uint64_t forks_seen_ = 0;
  os::HugePages huge_pages_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_LIVE_RECLAIM_PORT_H_
