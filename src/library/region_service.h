// Region::Service: what is behind a Region.
//
//     SIGBUS ──OnFault──> RegionFaults ── free < low mark ──> the reclaimer's thread is woken
//                              │        ── used > limit ────> the faulting thread reclaims too
//                              v
//                        StorageStack <── RegionReclaim
//
// All calls but size() and data() run with all signals blocked: the handler of a signal could touch
// the page that the interrupted call has claimed.
//
//     headroom:   0 ............. low ............. high
//                 |  reclaims     |  continues      |  sleeps
//
// Size: eighteen members, because it is composition: nearly every one is a part that it wires.
#ifndef UZSWAP_LIBRARY_REGION_SERVICE_H_
#define UZSWAP_LIBRARY_REGION_SERVICE_H_

#include <pthread.h>

#include <atomic>
#include <memory>

#include "library/service_threads.h"
#include "library/sigbus_handler.h"
#include "os/address_space.h"
#include "os/linux_user_fault.h"
#include "os/mapping.h"
#include "os/thread.h"
#include "region/region_faults.h"
#include "region/region_memory.h"
#include "region/region_reclaim.h"
#include "swap/lease_pool.h"
#include "swap/storage_stack.h"
#include "uzswap/region.h"

namespace uzswap {

class Region::Service final : public FaultReceiver {
 public:
  static Result<std::unique_ptr<Service>> Create(const Options& options);
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  [[nodiscard]] std::byte* data() const { return mapping_.data(); }
  [[nodiscard]] size_t size() const { return size_; }
  // In a child of the process that created it. Its threads are not there, so it can only be left.
  [[nodiscard]] bool is_inherited() const { return os::ProcessNumber() != owner_; }

  bool OnFault(uint64_t address, bool write) override;
  Result<void> PinPages(const void* start, size_t bytes);
  void UnpinPages(const void* start, size_t bytes);
  void Advise(const void* start, size_t bytes, Advice advice);
  void Discard(void* start, size_t bytes);
  [[nodiscard]] Statistics Count();

 private:
  using ContextPool = LeasePool<RegionContext>;
  struct Pages {
    uint64_t first = 0;
    uint64_t count = 0;
  };

  Result<void> Init(const Options& options);
  Result<void> StartReclaimer();
  void StopReclaimer();
  static void* ReclaimerMain(void* self);
  void Reclaim();
  // After a fault: wakes the reclaimer, and helps it if the budget is exceeded.
  void MakeRoom(RegionContext& context);
  // Ends the process if the range is not in the region.
  [[nodiscard]] Pages PagesOf(const void* start, size_t bytes) const;
  bool PinPage(uint64_t page);

  const uint32_t owner_ = os::ProcessNumber();
  size_t size_ = 0;
  int64_t low_pages_ = 0;
  int64_t high_pages_ = 0;
  os::LinuxAddressSpace address_space_;
  os::LinuxUserFault user_fault_;
  os::Mapping mapping_;
  StorageStack stack_;
  ContextPool contexts_;
  RegionMemory memory_;
  RegionReclaim reclaim_;
  RegionFaults faults_;
  ServiceThreads threads_;
  pthread_t reclaimer_{};
  bool reclaims_ = false;               // the thread runs
  std::atomic<uint32_t> asleep_{0};     // the reclaimer; the thread that clears it wakes it
  std::atomic<uint32_t> fruitless_{0};  // faults since a round gained something; relaxed
  std::atomic<bool> stopping_{false};
};

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_REGION_SERVICE_H_
