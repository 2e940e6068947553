// The pager's side of the fake: what the kernel answers.
#include "os/testing/fake_user_fault.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "os/mapping.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

constexpr uint64_t kLongSleepNs = 1'000'000'000;

}  // namespace

FakeUserFault::FakeUserFault() = default;

size_t FakeUserFault::Read(std::span<UserFaultEvent> events) {
  MutexLock lock(mutex_);
  size_t count = 0;
  while (count < events.size() && !faults_.empty()) {
    const uint32_t thread = faults_.front();
    faults_.pop_front();
    Waiter& waiter = waiters_.at(thread);
    waiter.unread = false;
    events[count++] = {UserFaultEvent::Kind::kPageFault,
                       waiter.write,
                       thread,
                       waiter.page,
                       waiter.page + kPageSize,
                       0};
  }
  while (count < events.size() && !events_.empty()) {
    events[count++] = events_.front().event;
    changes_[events_.front().change].state = ChangeState::kToSettle;
    events_.pop_front();
  }
  if (count > 0) Notify();
  return count;
}

void FakeUserFault::WaitReadable(int timeout_ms) {
  const uint64_t start_ns = MonotonicNanoseconds();
  const uint64_t timeout_ns = static_cast<uint64_t>(timeout_ms) * 1'000'000;
  while (!interrupted_.load(std::memory_order_acquire)) {
    const uint32_t seen = generation_.load(std::memory_order_acquire);
    {
      MutexLock lock(mutex_);
      if (!faults_.empty() || !events_.empty()) return;
    }
    const uint64_t passed_ns = MonotonicNanoseconds() - start_ns;
    if (timeout_ms >= 0 && passed_ns >= timeout_ns) return;
    // Without a timeout: until Interrupt().
    FutexWait(&generation_, seen, timeout_ms >= 0 ? timeout_ns - passed_ns : kLongSleepNs);
  }
}

const FakeUserFault::Injection* FakeUserFault::Count(Call call) {
  const auto kind = static_cast<size_t>(call);
  ++calls_[kind];
  for (const Injection& injection : injections_[kind]) {
    if (injection.at == calls_[kind]) return &injection;
  }
  return nullptr;
}

void FakeUserFault::Inject(Call call, uint64_t nth, PortOutcome outcome, uint64_t done_pages) {
  MutexLock lock(mutex_);
  const auto kind = static_cast<size_t>(call);
  injections_[kind].push_back({calls_[kind] + nth, outcome, done_pages, 0});
}

void FakeUserFault::InjectUnreported(Call call, uint64_t nth, uint64_t reported,
                                     uint64_t unreported) {
  MutexLock lock(mutex_);
  const auto kind = static_cast<size_t>(call);
  const PortOutcome outcome = reported == 0 ? PortOutcome::kExists : PortOutcome::kRetry;
  injections_[kind].push_back({calls_[kind] + nth, outcome, reported, unreported});
}

uint64_t FakeUserFault::calls(Call call) {
  MutexLock lock(mutex_);
  return calls_[static_cast<size_t>(call)];
}

PortResult FakeUserFault::Move(uint64_t destination, uint64_t source, uint64_t length) {
  MutexLock lock(mutex_);
  return MoveCounted(destination, source, length);
}

PortResult FakeUserFault::MoveCounted(uint64_t destination, uint64_t source, uint64_t length) {
  const Injection* injection = Count(Call::kMove);
  if (announced_ > 0) return {PortOutcome::kRetry, 0};
  if (injection == nullptr) return MoveLocked(kMainUserfaultfd, destination, source, length);
  return MoveAs(*injection, kMainUserfaultfd, destination, source, length);
}

PortResult FakeUserFault::MoveFromExecutable(uint64_t destination, uint64_t source,
                                             uint64_t length) {
  MutexLock lock(mutex_);
  FakeArea* to = memory_.AreaAt(destination);
  if (to != nullptr) to->protection.executable = true;
  const PortResult result = MoveCounted(destination, source, length);
  if (to != nullptr) to->protection.executable = false;
  return result;
}

PortResult FakeUserFault::MoveAs(const Injection& injection, int userfaultfd, uint64_t destination,
                                 uint64_t source, uint64_t length) {
  PortResult result;
  const uint64_t part = injection.done_pages << kPageShift;
  if (part > 0) {
    result = MoveLocked(userfaultfd, destination, source, part < length ? part : length);
  }
  const uint64_t done = result.done_bytes;
  // A complete call cannot answer kRetry.
  if (done == length) return {PortOutcome::kDone, length};
  if (injection.unreported_pages == 0) return {injection.outcome, done};
  if (done < part) return result;
  const uint64_t rest = injection.unreported_pages << kPageShift;
  const PortResult unreported = MovePages(userfaultfd, destination + done, source + done,
                                          rest < length - done ? rest : length - done);
  const PortOutcome truth = done > 0 ? PortOutcome::kRetry : unreported.outcome;
  return {unreported.done_bytes > 0 ? injection.outcome : truth, done};
}

PortResult FakeUserFault::ReleasePort::Move(uint64_t destination, uint64_t source,
                                            uint64_t length) {
  MutexLock lock(fake_.mutex_);
  const Injection* injection = fake_.Count(Call::kRelease);
  fake_.ForgetDiscardedWindow(destination, length);
  if (injection == nullptr) {
    return fake_.MoveLocked(kReleaseUserfaultfd, destination, source, length);
  }
  return fake_.MoveAs(*injection, kReleaseUserfaultfd, destination, source, length);
}

// The pager empties the release window with madvise. That is a real call on real memory, so the
// fake asks mincore which of its pages are gone.
void FakeUserFault::ForgetDiscardedWindow(uint64_t start, uint64_t length) {
  for (uint64_t page = start; page < start + length; page += kPageSize) {
    unsigned char resident = 1;
    if (memory_.PageAt(page) == nullptr) continue;
    UZ_CHECK_EQ(mincore(reinterpret_cast<void*>(page), kPageSize, &resident), 0);
    if ((resident & 1) == 0) memory_.Drop(page);
  }
}

PortOutcome FakeUserFault::MayMove(int userfaultfd, uint64_t destination, uint64_t source,
                                   uint64_t length) {
  if (length == 0 || (destination | source | length) % kPageSize != 0) return PortOutcome::kRefused;
  const FakeArea* to = memory_.AreaAt(destination);
  const FakeArea* from = memory_.AreaAt(source);
  if (to == nullptr || from == nullptr) return PortOutcome::kGone;
  if (destination + length > to->end || source + length > from->end) return PortOutcome::kRefused;
  const FakeProtection& a = to->protection;
  const FakeProtection& b = from->protection;
  const bool alike = a.readable == b.readable && a.writable == b.writable &&
                     a.executable == b.executable && a.locked == b.locked;
  if (!alike || !b.writable || a.shared || b.shared || !a.anonymous || !b.anonymous) {
    return PortOutcome::kRefused;
  }
  // Only the destination's registration is looked at: that is the kernel's rule.
  return to->userfaultfd == userfaultfd ? PortOutcome::kDone : PortOutcome::kRefused;
}

PortResult FakeUserFault::MoveLocked(int userfaultfd, uint64_t destination, uint64_t source,
                                     uint64_t length) {
  const PortResult result = MovePages(userfaultfd, destination, source, length);
  if (result.done_bytes > 0) WakeLocked(destination, result.done_bytes);
  return result;
}

PortResult FakeUserFault::MovePages(int userfaultfd, uint64_t destination, uint64_t source,
                                    uint64_t length) {
  PortOutcome outcome = MayMove(userfaultfd, destination, source, length);
  uint64_t done = 0;
  for (; outcome == PortOutcome::kDone && done < length; done += kPageSize) {
    if (memory_.PageAt(destination + done) != nullptr) {
      outcome = PortOutcome::kExists;
    } else if (memory_.PageAt(source + done) == nullptr) {
      outcome = PortOutcome::kGone;
    } else if (memory_.PageAt(source + done)->poisoned) {
      outcome = PortOutcome::kRefused;
    } else if (memory_.IsBusy(source + done)) {
      outcome = PortOutcome::kBusy;
    } else {
      memory_.Populate(destination + done, memory_.BytesAt(source + done));
      memory_.Drop(source + done);
      continue;
    }
    break;
  }
  if (done == 0) return {outcome, 0};
  return {done == length ? PortOutcome::kDone : PortOutcome::kRetry, done};
}

PortResult FakeUserFault::PopulateLocked(uint64_t destination, const std::byte* bytes,
                                         uint64_t length) {
  if (length == 0 || (destination | length) % kPageSize != 0) return {PortOutcome::kRefused, 0};
  const FakeArea* area = memory_.AreaAt(destination);
  // Registered with any userfaultfd: that is the kernel's rule.
  if (area == nullptr || area->userfaultfd == 0 || destination + length > area->end) {
    return {PortOutcome::kGone, 0};
  }
  uint64_t done = 0;
  for (; done < length && memory_.PageAt(destination + done) == nullptr; done += kPageSize) {
    memory_.Populate(destination + done, bytes + done);
  }
  if (done == 0) return {PortOutcome::kExists, 0};
  WakeLocked(destination, done);
  return {done == length ? PortOutcome::kDone : PortOutcome::kRetry, done};
}

PortResult FakeUserFault::Copy(uint64_t destination, const void* source, uint64_t length) {
  const auto* bytes = static_cast<const std::byte*>(source);
  MutexLock lock(mutex_);
  const Injection* injection = Count(Call::kCopy);
  if (announced_ > 0) return {PortOutcome::kRetry, 0};
  // COPY, and no other call, takes a poisoned page for a missing one.
  for (uint64_t page = destination; page < destination + length; page += kPageSize) {
    const FakePage* present = memory_.PageAt(page);
    if (present == nullptr) continue;
    if (!present->poisoned) break;
    memory_.Drop(page);
  }
  if (injection == nullptr) return PopulateLocked(destination, bytes, length);
  PortResult result;
  const uint64_t part = injection->done_pages << kPageShift;
  if (part > 0) result = PopulateLocked(destination, bytes, part < length ? part : length);
  if (result.done_bytes == length) return {PortOutcome::kDone, length};
  return {injection->outcome, result.done_bytes};
}

PortResult FakeUserFault::Zero(uint64_t destination) {
  static constexpr std::byte kZeroes[kPageSize] = {};
  MutexLock lock(mutex_);
  const Injection* injection = Count(Call::kZero);
  if (announced_ > 0) return {PortOutcome::kRetry, 0};
  if (injection != nullptr) return {injection->outcome, 0};
  return PopulateLocked(destination, kZeroes, kPageSize);
}

PortResult FakeUserFault::Poison(uint64_t destination) {
  static constexpr std::byte kZeroes[kPageSize] = {};
  MutexLock lock(mutex_);
  const Injection* injection = Count(Call::kPoison);
  if (announced_ > 0) return {PortOutcome::kRetry, 0};
  if (injection != nullptr) return {injection->outcome, 0};
  const PortResult result = PopulateLocked(destination, kZeroes, kPageSize);
  if (result.outcome == PortOutcome::kDone) memory_.PageAt(destination)->poisoned = true;
  return result;
}

void FakeUserFault::Wake(uint64_t start, uint64_t length) {
  MutexLock lock(mutex_);
  WakeLocked(start, length);
}

void FakeUserFault::HoldWakes(bool held) {
  MutexLock lock(mutex_);
  wakes_held_ = held;
}

void FakeUserFault::WakeLocked(uint64_t start, uint64_t length) {
  if (wakes_held_) return;
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    if (it->second.page < start || it->second.page >= start + length) {
      ++it;
      continue;
    }
    if (it->second.unread) std::erase(faults_, it->first);
    it = waiters_.erase(it);
  }
  Notify();
}

Result<void> FakeUserFault::Register(uint64_t start, uint64_t length) {
  const bool engine = IsOwnRange({start, start + length});
  MutexLock lock(mutex_);
  const Injection* injection = Count(Call::kRegister);
  if (injection != nullptr) return Error{EINVAL, "an injected failure"};
  return RegisterLocked(kMainUserfaultfd, start, length, engine);
}

Result<void> FakeUserFault::ReleasePort::Register(uint64_t start, uint64_t length) {
  const bool engine = IsOwnRange({start, start + length});
  MutexLock lock(fake_.mutex_);
  return fake_.RegisterLocked(kReleaseUserfaultfd, start, length, engine);
}

Result<void> FakeUserFault::RegisterLocked(int userfaultfd, uint64_t start, uint64_t length,
                                           bool engine) {
  const uint64_t end = start + length;
  if (length == 0 || (start | length) % kPageSize != 0) return Error{EINVAL, "unaligned"};
  if (engine && memory_.AreaAt(start) == nullptr) {
    memory_.AddArea({start, end, {}, userfaultfd, true});
    return {};
  }
  const FakeArea* first = memory_.AreaFrom(start);
  if (first == nullptr || first->start >= end) return Error{EINVAL, "no mapping"};
  memory_.SplitAround(start, end);
  for (FakeArea* area = memory_.AreaFrom(start); area != nullptr && area->start < end;
       area = memory_.AreaFrom(area->end)) {
    if (!area->protection.anonymous) return Error{EINVAL, "not anonymous"};
    if (area->userfaultfd != 0 && area->userfaultfd != userfaultfd) {
      return Error{EBUSY, "registered with another userfaultfd"};
    }
  }
  for (FakeArea* area = memory_.AreaFrom(start); area != nullptr && area->start < end;
       area = memory_.AreaFrom(area->end)) {
    area->userfaultfd = userfaultfd;
  }
  return {};
}

MapsEntry FakeUserFault::EntryOf(const FakeArea& area) {
  MapsEntry entry;
  entry.start = area.start;
  entry.end = area.end;
  entry.readable = area.protection.readable;
  entry.writable = area.protection.writable;
  entry.executable = area.protection.executable;
  entry.shared = area.protection.shared;
  entry.anonymous = area.protection.anonymous;
  entry.wiped = area.protection.wiped_in_children;
  return entry;
}

bool FakeUserFault::Find(uint64_t address, MapsEntry* entry) {
  MutexLock lock(mutex_);
  const FakeArea* area = memory_.AreaAt(address);
  if (area == nullptr) return false;
  *entry = EntryOf(*area);
  return true;
}

bool FakeUserFault::SharedContent(uint64_t address) {
  MutexLock lock(mutex_);
  const FakePage* page = memory_.PageAt(address);
  return page != nullptr && page->shared;
}

bool FakeUserFault::FindOnward(uint64_t address, MapsEntry* entry) {
  MutexLock lock(mutex_);
  const FakeArea* area = memory_.AreaFrom(address);
  if (area == nullptr) return false;
  *entry = EntryOf(*area);
  return true;
}

Result<size_t> FakeUserFault::Present(uint64_t start, uint64_t end, PresentRun* runs,
                                      size_t capacity, uint64_t* walked) {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (uint64_t page = start; page < end; page += kPageSize) {
    // A poisoned page too: PAGEMAP_SCAN calls it swapped.
    if (memory_.PageAt(page) == nullptr) continue;
    if (count > 0 && runs[count - 1].end == page) {
      runs[count - 1].end = page + kPageSize;
      continue;
    }
    if (count == capacity) {
      *walked = page;
      return count;
    }
    runs[count++] = {page, page + kPageSize};
  }
  *walked = end;
  return count;
}

}  // namespace uzswap::os
