// LiveFrameSharing: which frames of the pool forked relatives map too, for the writer.
//
// Asks the kernel, and only while there may be relatives. A frame that is not present is not shared
// in this sense: the kernel has swapped it out.
//
// IsShared: the writer's thread.
#ifndef UZSWAP_ENGINE_LIVE_FRAME_SHARING_H_
#define UZSWAP_ENGINE_LIVE_FRAME_SHARING_H_

#include <cstddef>
#include <cstdint>

#include "engine/usage_meter.h"
#include "os/address_space.h"
#include "writeback/writeback.h"

namespace uzswap {

class LiveFrameSharing final : public FrameSharing {
 public:
  // Both must outlive this.
  void Init(const UsageMeter& meter, const os::LinuxAddressSpace& space) {
    meter_ = &meter;
    space_ = &space;
  }
  bool IsShared(const std::byte* frame) override {
    if (!meter_->sharing()) return false;
    const uint64_t page = RoundDownToPage(reinterpret_cast<uint64_t>(frame));
    const os::PageSharing seen = space_->SharingOf(page, page + kPageSize);
    return seen.present == 1 && seen.mapped_once == 0;
  }

 private:
  const UsageMeter* meter_ = nullptr;
  const os::LinuxAddressSpace* space_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_LIVE_FRAME_SHARING_H_
