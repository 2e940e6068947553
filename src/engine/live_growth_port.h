// LiveGrowthPort: what the growth watch sees and does, in the process it runs in.
//
// It has a reader of the mappings of its own: the reclaim daemon may be in the middle of a walk
// when it does not get a processor. Open: the reclaim daemon, in its descriptor table. All else:
// the pager thread, in the same table.
#ifndef UZSWAP_ENGINE_LIVE_GROWTH_PORT_H_
#define UZSWAP_ENGINE_LIVE_GROWTH_PORT_H_

#include "engine/growth_watch.h"
#include "engine/paging_stack.h"
#include "engine/range_scanner.h"
#include "engine/usage_meter.h"

namespace uzswap {

class LiveGrowthPort final : public GrowthPort {
 public:
  struct Parts {
    SessionMember* member = nullptr;
    PagingStack* paging = nullptr;
    UsageReaders* readers = nullptr;
    UsageMeter* meter = nullptr;
  };
  void Init(const Parts& parts) { parts_ = parts; }
  void SetDefaultStackBytes(uint64_t bytes) { scanner_.SetDefaultStackBytes(bytes); }
  Result<void> Open() { return scanner_.Open(); }
  // In a forked child, see os::ProcFile.
  void Forget() { scanner_.Forget(); }

  uint64_t NowNs() override { return parts_.readers->NowNs(); }
  void RefreshHeadroom() override { parts_.meter->Refresh(); }
  int64_t UnregisteredPages() override;
  void ScanMappings() override;

 private:
  Parts parts_;
  RangeScanner scanner_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_LIVE_GROWTH_PORT_H_
