// Reclaimer: the parts of reclaim put together, as one object in its owner's lock.
//
//        VictimPolicy (ClockPolicy)
//               |
//     PageMover (UffdMover) --- Evictor --- StoreSink (PageStore)
//               |                  |
//         StagingFrames ----- PageContents ----- PageTable
//
// It adds nothing of its own: the code that needs a part asks for it. All calls under the owner's
// lock.
#ifndef UZSWAP_RECLAIM_RECLAIMER_H_
#define UZSWAP_RECLAIM_RECLAIMER_H_

#include "reclaim/clock_policy.h"
#include "reclaim/evictor.h"
#include "reclaim/page_contents.h"
#include "reclaim/staging_frames.h"
#include "reclaim/uffd_mover.h"

namespace uzswap {

class Reclaimer {
 public:
  // All outlive this.
  struct Parts {
    os::UserFaultPort* port = nullptr;
    os::UserFaultPort* release_port = nullptr;
    os::AddressSpace* address_space = nullptr;
    PageTable* table = nullptr;
    PageStore* store = nullptr;
    CacheContext* context = nullptr;
    Headroom* headroom = nullptr;
    Statistics* statistics = nullptr;
    SlotObserver* slot_observer = nullptr;
  };

  explicit Reclaimer(PageTable& table) : policy_(table) {}

  // Once. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts, PageCount staging_frames);
  // In a forked child, with ports and statistics of its own.
  void UseParts(const Parts& parts);

  [[nodiscard]] StagingFrames& frames() { return frames_; }
  [[nodiscard]] PageContents& contents() { return contents_; }
  [[nodiscard]] VictimPolicy& policy() { return policy_; }
  [[nodiscard]] PageMover& mover() { return mover_; }
  // The staging frames and the release window, with userfaultfd.
  Result<void> RegisterOwn() { return mover_.RegisterOwn(); }
  [[nodiscard]] Evictor& evictor() { return evictor_; }
  // Any thread may store through it.
  [[nodiscard]] StoreSink& sink() { return sink_; }

 private:
  friend class ReclaimerPeer;

  StagingFrames frames_;
  PageStoreSink sink_;
  PageContents contents_;
  ClockPolicy policy_;
  UffdMover mover_;
  Evictor evictor_;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_RECLAIMER_H_
