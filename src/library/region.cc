#include "uzswap/region.h"

#include <cerrno>
#include <utility>

#include "library/region_service.h"
#include "library/sigbus_handler.h"
#include "os/thread.h"

namespace uzswap {

Region::Region(std::unique_ptr<Service> service) : service_(service.release()) {}
Region::Region(Region&& other) noexcept = default;
Region& Region::operator=(Region&& other) noexcept = default;
Region::~Region() = default;

void Region::Leave::operator()(Service* service) const {
  if (!service->is_inherited()) delete service;
}

Result<Region> Region::Create(const Options& options) {
  Result<std::unique_ptr<Service>> created = Service::Create(options);
  if (!created.ok()) return created.error();
  return Region(std::move(created).value());
}

std::byte* Region::data() const { return service_->data(); }
size_t Region::size() const { return service_->size(); }

Result<Region::Pin> Region::PinRange(const void* start, size_t bytes) const {
  const Result<void> pinned = service_->PinPages(start, bytes);
  if (!pinned.ok()) return pinned.error();
  Pin pin;
  pin.service_ = service_.get();
  pin.start_ = start;
  pin.bytes_ = bytes;
  return pin;
}

Region::Pin::~Pin() {
  if (service_ != nullptr && !service_->is_inherited()) service_->UnpinPages(start_, bytes_);
}

void Region::Advise(const void* start, size_t bytes, Advice advice) const {
  service_->Advise(start, bytes, advice);
}
void Region::Discard(void* start, size_t bytes) const { service_->Discard(start, bytes); }
Region::Statistics Region::statistics() const { return service_->Count(); }

bool Region::HandleSignal(const void* information, const void* context) {
  // The handler may have been installed without a mask.
  const os::BlockedSignals blocked;
  const int program_errno = errno;
  const bool answered = HandleSigbus(information, context);
  errno = program_errno;
  return answered;
}

}  // namespace uzswap
