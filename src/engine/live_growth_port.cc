#include "engine/live_growth_port.h"

#include "engine/pager_sink.h"
#include "engine/unregistered_growth.h"

namespace uzswap {

int64_t LiveGrowthPort::UnregisteredPages() {
  const PageCounts pages = parts_.paging->CountPages();
  return UnregisteredGrowth::Pages(parts_.readers->AnonymousBytes(), pages);
}

void LiveGrowthPort::ScanMappings() {
  parts_.member->statistics().late_scans.Add();
  PagerSink sink(parts_.paging->pager());
  scanner_.Scan(sink);
}

}  // namespace uzswap
