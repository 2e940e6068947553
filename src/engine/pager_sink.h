// PagerSink: what a scan of the mappings finds goes to the pager. Any engine thread.
#ifndef UZSWAP_ENGINE_PAGER_SINK_H_
#define UZSWAP_ENGINE_PAGER_SINK_H_

#include "engine/range_scanner.h"
#include "pager/pager.h"

namespace uzswap {

class PagerSink final : public RangeSink {
 public:
  explicit PagerSink(Pager& pager) : pager_(&pager) {}
  bool Adopt(AddressRange range, AddressRange pinned) override {
    return pager_->Adopt(range, pinned);
  }
  void PinResident(AddressRange range) override { pager_->PinResident(range); }

 private:
  Pager* pager_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_PAGER_SINK_H_
