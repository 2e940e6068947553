// PagingStack: pager, storage stack and userfaultfds of one managed process, and the two
// threads that serve them.
//
//        program's faults                     reclaim daemon (engine/live_reclaim_port.h)
//               │                                          │
//   pager thread│   ┌───────────────────────────────────┐  │
//   ServeOnce ──┴──>│ Pager                             │<─┘
//                   │   userfaultfds, release window    │
//                   ├───────────────────────────────────┤
//                   │ storage stack: cache, pool, file  │<──── writer thread: Writeback::Run
//                   └───────────────────────────────────┘
//
//   [ inert ] ──Activate──> [ active ] ──fork──> child: Forget ──> BecomeChild ──> [ active ]
//
// Nothing is registered and no memory is used before Activate. The pager thread runs on the
// processor of the thread that faults.
//
// Size: 22 members and 36 methods, because it is composition only: nearly every member is a part
// that it wires, and the methods are what the engine and its two ports need of the parts.
//
// This class and the two ports of the engine are all that calls the pager. Activate and
// BecomeChild: the reclaim daemon, in its descriptor table. OpenForChild, CloseForChild,
// ForgetInChild: the forking thread. active(): both, by the handshake of engine/fork_coordinator.h.
#ifndef UZSWAP_ENGINE_PAGING_STACK_H_
#define UZSWAP_ENGINE_PAGING_STACK_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/result.h"
#include "engine/broker_files.h"
#include "engine/daemon_waker.h"
#include "engine/growth_watch.h"
#include "engine/learning.h"
#include "engine/live_frame_sharing.h"
#include "engine/notices.h"
#include "engine/reclaim_port.h"
#include "engine/session_member.h"
#include "engine/tree_reservation.h"
#include "engine/usage_meter.h"
#include "os/address_space.h"
#include "os/direct_port.h"
#include "os/linux_user_fault.h"
#include "os/procfs.h"
#include "pager/pager.h"
#include "reclaim/watermarks.h"
#include "swap/storage_stack.h"

namespace uzswap {

class PagingStack {
 public:
  // All must outlive the stack.
  struct Parts {
    SessionMember* member = nullptr;
    Notices* notices = nullptr;
    DaemonWaker* waker = nullptr;
    UsageMeter* meter = nullptr;
    GrowthWatch* growth = nullptr;
    const os::TaskReader* tasks = nullptr;
    BrokerFiles* broker = nullptr;
    // The limit that the program's limits of address space were extended for. It bounds what is
    // reserved, even if the limit is higher when the process becomes active.
    Bytes arena{};
  };
  void Init(const Parts& parts, const Watermarks& watermarks);
  // The reclaim daemon.
  void SetWatermarks(const Watermarks& watermarks);
  [[nodiscard]] const Watermarks& watermarks() const { return watermarks_; }
  // What the pool can hold at most. Any thread.
  [[nodiscard]] Bytes arena() const { return parts_.arena; }
  // What the pools of the tree may hold. The reclaim daemon.
  void SetPoolBound(Bytes bound) { pool_space_.SetBound(bound); }
  // The files of /proc, while they can still be opened: later the program may have changed its root
  // or given up its rights.
  Result<void> OpenProc() { return address_space_.Open(); }

  // Once. On failure the process stays unmanaged.
  Result<void> Activate();
  [[nodiscard]] bool active() const { return active_; }

  // --- Fork ---
  // Requires: frozen. What the child will read what is on disk from.
  void OpenForChild() { for_child_.emplace(storage_.OpenForChild()); }
  void CloseForChild() { for_child_.reset(); }
  [[nodiscard]] os::KeptDescriptors descriptors_for_child() const;
  // In the child, before any engine thread: descriptors and locks stayed with the parent.
  void ForgetInChild();
  // In the child, by its daemon. Requires: active. On failure nothing is served, and RestoreInChild
  // can follow.
  Result<void> BecomeChild();
  // In the child, before the program runs: all its pages are in its memory again, and it is not
  // active any more. `files`: see OpenForChild. If it fails the child must end. Requires: active.
  Result<void> RestoreInChild(os::InheritedFiles files);
  // By the child's only thread: for RestoreInChild.
  os::InheritedFiles TakeForChild() {
    return for_child_ ? std::move(*for_child_) : os::InheritedFiles();
  }
  // By the child's daemon, in whose table the files are kept.
  [[nodiscard]] os::InheritedFiles AdoptForChild() const;
  // In a child that lasts, by its daemon: it gets a backing file of its own, if it inherited one
  // and does not write yet. `bound` sets the bound of the pool before the writer begins, and
  // returns that of the tree's pools. True: it failed for a reason that may pass.
  template <typename Bound>
  bool WriteInChild(Bound&& bound) {
    if (!active_ || storage_.backing() == nullptr || storage_.writes()) return false;
    const Options options = parts_.member->session().options();
    const Result<void> done =
        storage_.WriteInChild(options.backing, [&] { ShareSpace(options, bound(options)); });
    return NoteChildFile(done);
  }

  // --- For the engine's ports ---
  Pager& pager() { return pager_; }
  // Of the thread that serves faults. The reclaim daemon.
  void SetPagerUrgency(bool real_time);
  StorageStack& storage() { return storage_; }
  CacheContext& daemon_context() { return daemon_context_; }
  Headroom& headroom() { return headroom_; }
  Learning& learning() { return learning_; }
  PageCounts CountPages();
  os::LinuxAddressSpace& address_space() { return address_space_; }
  // The daemon has isolated pages that were shared with relatives, and will isolate more: faults
  // far beyond the headroom wait for it, for kUnsharingNs at most.
  void NoteUnshared();
  // From here on the daemon may fault itself: faults do not wait for it.
  void NoteMayFault() { unsharing_until_ns_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kUnsharingNs = 5'000'000;

  static void PagerMain(void* self);
  static void WriterMain(void* self);
  void MovePagerHere();

  Result<void> OpenUserFaults();
  // `pools`: the bound of the tree's pools now; zero: none.
  void ShareSpace(const Options& options, Bytes pools);
  bool NoteChildFile(const Result<void>& opened);
  Result<void> InitLearning(const Options& options);
  Result<void> StartServing();
  Pager::Parts MakeParts();

  Parts parts_;
  Watermarks watermarks_;
  os::LinuxAddressSpace address_space_;
  os::LinuxUserFault user_fault_;
  os::LinuxUserFault release_fault_;
  os::DirectPort direct_;
  Headroom headroom_;
  TreeReservation pool_space_{SharedSpace::kPool, StorageBounds::kPoolMin};
  TreeReservation file_space_{SharedSpace::kFile, StorageBounds::kFileMin};
  StorageStack storage_;
  LiveFrameSharing sharing_;
  Learning learning_;
  Pager pager_;
  CacheContext daemon_context_;
  std::optional<os::InheritedFiles> for_child_;  // while a thread forks
  std::atomic<uint32_t> pager_thread_{0};
  std::atomic<bool> pager_moved_{false};         // to another processor, by another thread
  std::atomic<uint64_t> unsharing_until_ns_{0};  // relaxed: it orders nothing
  bool pager_real_time_ = false;                 // the daemon's
  bool active_ = false;
  bool storage_is_child_ = false;  // in a child, while it becomes one
  bool pager_is_rebuilt_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_PAGING_STACK_H_
