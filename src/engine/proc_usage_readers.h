// ProcUsageReaders: the usage meter's figures from /proc/self and from the paging stack.
//
// The files are opened by the reclaim daemon in its own descriptor table, and read by it only.
#ifndef UZSWAP_ENGINE_PROC_USAGE_READERS_H_
#define UZSWAP_ENGINE_PROC_USAGE_READERS_H_

#include <optional>

#include "engine/paging_stack.h"
#include "engine/usage_meter.h"
#include "os/own_memory.h"
#include "os/procfs.h"
#include "os/thread.h"

namespace uzswap {

class ProcUsageReaders final : public UsageReaders {
 public:
  explicit ProcUsageReaders(PagingStack& paging) : paging_(&paging) {}

  Result<void> Open() {
    Result<void> opened = memory_.Open();
    if (!opened.ok()) return opened;
    return share_.Open();
  }
  void ForgetInChild() {
    memory_.Forget();
    share_.Forget();
  }

  Bytes AnonymousBytes() override { return memory_.AnonymousBytes(); }
  std::optional<os::AnonymousSplit> AnonymousSplit() override { return share_.Split(); }
  Bytes PoolBytes() override {
    return paging_->active() ? paging_->storage().store().PoolBytes() : Bytes(0);
  }
  os::PageSharing PoolSharing() override {
    const uint64_t stride = 1 + PagesWithin(PoolBytes()).raw() / kSampledPages;
    return os::SampleOwnSharing(paging_->address_space(), os::MappingPurpose::kPoolFrames, stride,
                                ++phase_);
  }
  os::PageSharing MetadataSharing() override {
    return os::SampleOwnSharing(paging_->address_space(), os::MappingPurpose::kMetadata, 1, 0);
  }
  Bytes MetadataBytes() override {
    return os::PresentOwnBytes(paging_->address_space(), os::MappingPurpose::kMetadata);
  }
  uint64_t NowNs() override { return os::MonotonicNanoseconds(); }

 private:
  static constexpr uint64_t kSampledPages = 4096;

  PagingStack* paging_;
  os::MemoryReader memory_;
  os::ShareReader share_;
  uint64_t phase_ = 0;  // of the samples of the pool
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_PROC_USAGE_READERS_H_
