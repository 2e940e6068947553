// LiveResidentCauses: what keeps pages of this process resident, asked of the kernel.
//
// The reclaim daemon's thread, like the scanner.
#ifndef UZSWAP_ENGINE_RESIDENT_CAUSES_H_
#define UZSWAP_ENGINE_RESIDENT_CAUSES_H_

#include "engine/notices.h"
#include "engine/range_scanner.h"
#include "os/address_space.h"
#include "os/locked_memory.h"

namespace uzswap {

class LiveResidentCauses final : public ResidentCauses {
 public:
  // Both outlive this.
  LiveResidentCauses(RangeScanner& scanner, os::AddressSpace& space)
      : scanner_(scanner), space_(space) {}

  Bytes Locked() override { return os::LockedBytes(); }
  // Present pages. What cannot be found out is left out.
  Bytes Protected() override {
    protected_ = 0;
    scanner_.ForEachProtected(AddPresent, this);
    return Bytes(protected_);
  }

 private:
  static void AddPresent(void* self, AddressRange range) {
    auto* causes = static_cast<LiveResidentCauses*>(self);
    os::PresentWalk walk(causes->space_, range.start, range.end);
    for (os::PresentRun run; walk.Next(&run);) causes->protected_ += run.end - run.start;
  }

  RangeScanner& scanner_;
  os::AddressSpace& space_;
  uint64_t protected_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_RESIDENT_CAUSES_H_
