// The program's side of the fake: threads, and changes of mappings in steps.
#include <climits>
#include <cstring>

#include "base/testing/slowness.h"
#include "os/testing/fake_user_fault.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

// Far beyond what a loaded machine needs.
const uint64_t kDeadlineNs = Slower(UINT64_C(100) * 1'000'000'000);

}  // namespace

void FakeUserFault::Notify() {
  generation_.fetch_add(1, std::memory_order_release);
  FutexWake(&generation_, INT_MAX);
}

void FakeUserFault::AwaitNotify(uint32_t seen, uint64_t deadline_ns) {
  const uint64_t now = MonotonicNanoseconds();
  if (now >= deadline_ns) {
    Panic(__FILE__, __LINE__,
          "a thread of the fake waits for a page or an event that does not come");
  }
  FutexWait(&generation_, seen, deadline_ns - now);
}

void FakeUserFault::Interrupt() {
  interrupted_.store(true, std::memory_order_release);
  Notify();
}

void FakeUserFault::Map(uint64_t start, uint64_t length, FakeProtection protection) {
  MutexLock lock(mutex_);
  memory_.AddArea({start, start + length, protection, 0, false});
}

void FakeUserFault::Protect(uint64_t start, uint64_t length, FakeProtection protection) {
  MutexLock lock(mutex_);
  memory_.SplitAround(start, start + length);
  for (FakeArea* area = memory_.AreaFrom(start); area != nullptr && area->start < start + length;
       area = memory_.AreaFrom(area->end)) {
    area->protection = protection;
  }
}

void FakeUserFault::GrowInPlace(uint64_t end, uint64_t new_end) {
  MutexLock lock(mutex_);
  FakeArea* area = memory_.AreaAt(end - kPageSize);
  UZ_CHECK(area != nullptr && area->end == end);
  memory_.Grow(*area, new_end);
}

void FakeUserFault::SetPinned(uint64_t address, bool pinned) {
  MutexLock lock(mutex_);
  FakePage* page = memory_.PageAt(address);
  UZ_CHECK(page != nullptr);
  page->pinned = pinned;
}

void FakeUserFault::UnmapLocked(uint64_t start, uint64_t end, Change& change) {
  memory_.SplitAround(start, end);
  bool registered = false;
  for (const FakeArea* area = memory_.AreaFrom(start); area != nullptr && area->start < end;
       area = memory_.AreaFrom(area->end)) {
    UZ_CHECK(!area->engine);
    registered = registered || area->userfaultfd == kMainUserfaultfd;
  }
  memory_.Remove(start, end);
  // One event for the range of the call, whatever lies in it.
  if (registered) {
    change.events.push_back({UserFaultEvent::Kind::kUnmap, false, 0, start, end, 0});
  }
}

FakeUserFault::ChangeId FakeUserFault::Announce(Change change) {
  announced_ += change.events.size();
  ContinueDiscard(change);
  change.state = change.events.empty() ? ChangeState::kOver : ChangeState::kToQueue;
  changes_.push_back(std::move(change));
  return changes_.size() - 1;
}

FakeUserFault::ChangeId FakeUserFault::BeginUnmap(uint64_t start, uint64_t length) {
  MutexLock lock(mutex_);
  Change change;
  UnmapLocked(start, start + length, change);
  return Announce(std::move(change));
}

FakeUserFault::ChangeId FakeUserFault::BeginReplace(uint64_t start, uint64_t length,
                                                    FakeProtection protection) {
  MutexLock lock(mutex_);
  Change change;
  UnmapLocked(start, start + length, change);
  memory_.AddArea({start, start + length, protection, 0, false});
  return Announce(std::move(change));
}

FakeUserFault::ChangeId FakeUserFault::BeginRemap(uint64_t start, uint64_t length,
                                                  uint64_t new_length, uint64_t target,
                                                  bool keep_source) {
  MutexLock lock(mutex_);
  Change change;
  UnmapLocked(target, target + new_length, change);
  memory_.SplitAround(start, start + length);
  const FakeArea source = *memory_.AreaAt(start);
  UZ_CHECK_EQ(source.end, start + length);
  memory_.Relocate(start, start + length, target);
  if (new_length > length) memory_.Grow(*memory_.AreaAt(target), target + new_length);
  if (keep_source) memory_.AddArea(source);
  if (source.userfaultfd != 0) {
    change.events.push_back(
        {UserFaultEvent::Kind::kRemap, false, 0, start, start + length, target});
    if (!keep_source) {
      change.events.push_back({UserFaultEvent::Kind::kUnmap, false, 0, start, start + length, 0});
    }
  }
  return Announce(std::move(change));
}

FakeUserFault::ChangeId FakeUserFault::BeginDiscard(uint64_t start, uint64_t length) {
  MutexLock lock(mutex_);
  Change change;
  change.discard_at = start;
  change.discard_end = start + length;
  return Announce(std::move(change));
}

FakeUserFault::ChangeId FakeUserFault::BeginFree(uint64_t start, uint64_t length) {
  MutexLock lock(mutex_);
  Change change;
  change.discard_at = start;
  change.discard_end = start + length;
  change.keeps = true;
  return Announce(std::move(change));
}

// The part of a discard that lies in the next area. An area that is not registered is discarded
// at once: no event reports it, and the kernel's locks keep a registration out until it is done.
void FakeUserFault::ContinueDiscard(Change& change) {
  while (change.discard_at < change.discard_end) {
    const FakeArea* area = memory_.AreaFrom(change.discard_at);
    UZ_CHECK(area != nullptr && area->start <= change.discard_at);
    const uint64_t start = change.discard_at;
    const uint64_t end = area->end < change.discard_end ? area->end : change.discard_end;
    change.discard_at = end;
    if (area->userfaultfd == kMainUserfaultfd) {
      change.zap_start = start;
      change.zap_end = end;
      change.events.push_back({UserFaultEvent::Kind::kRemove, false, 0, start, end, 0});
      ++announced_;
      return;
    }
    for (uint64_t page = start; page < end && !change.keeps; page += kPageSize) {
      memory_.Drop(page);
    }
  }
}

FakeUserFault::ChangeState FakeUserFault::StateOf(ChangeId id) {
  MutexLock lock(mutex_);
  return changes_.at(id).state;
}

bool FakeUserFault::Step(ChangeId id) {
  MutexLock lock(mutex_);
  Change& change = changes_.at(id);
  switch (change.state) {
    case ChangeState::kToQueue:
      events_.push_back({change.events.front(), id});
      change.events.pop_front();
      change.state = ChangeState::kUnread;
      Notify();
      return true;
    case ChangeState::kToSettle:
      --announced_;
      change.state = !change.events.empty() ? ChangeState::kToQueue
                     : change.zap_end != 0  ? ChangeState::kToZap
                                            : ChangeState::kOver;
      Notify();
      return true;
    case ChangeState::kToZap:
      for (uint64_t page = change.zap_start; page < change.zap_end && !change.keeps;
           page += kPageSize) {
        memory_.Drop(page);
      }
      change.zap_end = 0;
      ContinueDiscard(change);
      change.state = change.events.empty() ? ChangeState::kOver : ChangeState::kToQueue;
      return true;
    case ChangeState::kUnread:
    case ChangeState::kOver:
      return false;
  }
  return false;
}

bool FakeUserFault::Quiet() {
  MutexLock lock(mutex_);
  return announced_ == 0;
}

FakeUserFault::Access FakeUserFault::TouchLocked(uint32_t thread, uint64_t address, bool write) {
  static constexpr std::byte kZeroes[kPageSize] = {};
  if (waiters_.contains(thread)) return Access::kWaiting;
  const FakeArea* area = memory_.AreaAt(address);
  if (area == nullptr || area->engine) return Access::kSegv;
  if (write ? !area->protection.writable : !area->protection.readable) return Access::kSegv;
  FakePage* page = memory_.PageAt(address);
  if (page != nullptr) {
    if (page->poisoned) return Access::kSigbus;
    if (write) page->shared = false;
    return Access::kDone;
  }
  if (area->userfaultfd == 0) {
    memory_.Populate(address, kZeroes);
    return Access::kDone;
  }
  waiters_[thread] = {RoundDownToPage(address), write, true};
  faults_.push_back(thread);
  Notify();
  return Access::kWaiting;
}

FakeUserFault::Access FakeUserFault::Touch(uint32_t thread, uint64_t address, bool write) {
  MutexLock lock(mutex_);
  return TouchLocked(thread, address, write);
}

FakeUserFault::Access FakeUserFault::Load(uint32_t thread, uint64_t address,
                                          std::span<std::byte> to) {
  MutexLock lock(mutex_);
  UZ_CHECK_LE(address % kPageSize + to.size(), kPageSize);
  const Access access = TouchLocked(thread, address, false);
  if (access == Access::kDone) {
    memcpy(to.data(), memory_.BytesAt(address) + address % kPageSize, to.size());
  }
  return access;
}

FakeUserFault::Access FakeUserFault::Store(uint32_t thread, uint64_t address,
                                           std::span<const std::byte> from) {
  MutexLock lock(mutex_);
  UZ_CHECK_LE(address % kPageSize + from.size(), kPageSize);
  const Access access = TouchLocked(thread, address, true);
  if (access == Access::kDone) {
    memcpy(memory_.BytesAt(address) + address % kPageSize, from.data(), from.size());
  }
  return access;
}

bool FakeUserFault::IsWaiting(uint32_t thread) {
  MutexLock lock(mutex_);
  return waiters_.contains(thread);
}

FakeUserFault::Access FakeUserFault::LoadBlocking(uint32_t thread, uint64_t address,
                                                  std::span<std::byte> to) {
  const uint64_t deadline_ns = MonotonicNanoseconds() + kDeadlineNs;
  while (true) {
    const uint32_t seen = generation_.load(std::memory_order_acquire);
    const Access access = Load(thread, address, to);
    if (access != Access::kWaiting) return access;
    if (IsWaiting(thread)) AwaitNotify(seen, deadline_ns);
  }
}

FakeUserFault::Access FakeUserFault::StoreBlocking(uint32_t thread, uint64_t address,
                                                   std::span<const std::byte> from) {
  const uint64_t deadline_ns = MonotonicNanoseconds() + kDeadlineNs;
  while (true) {
    const uint32_t seen = generation_.load(std::memory_order_acquire);
    const Access access = Store(thread, address, from);
    if (access != Access::kWaiting) return access;
    if (IsWaiting(thread)) AwaitNotify(seen, deadline_ns);
  }
}

void FakeUserFault::FinishBlocking(ChangeId change) {
  const uint64_t deadline_ns = MonotonicNanoseconds() + kDeadlineNs;
  while (true) {
    const uint32_t seen = generation_.load(std::memory_order_acquire);
    if (Step(change)) continue;
    if (StateOf(change) == ChangeState::kOver) return;
    AwaitNotify(seen, deadline_ns);
  }
}

void FakeUserFault::BecomeChild() {
  MutexLock lock(mutex_);
  memory_.BecomeChild();
  waiters_.clear();
  faults_.clear();
  events_.clear();
  changes_.clear();
  announced_ = 0;
}

void FakeUserFault::NoteForked() {
  MutexLock lock(mutex_);
  memory_.ShareEverything();
}

bool FakeUserFault::IsPresent(uint64_t address) {
  MutexLock lock(mutex_);
  return memory_.IsReadable(address);
}

bool FakeUserFault::IsPoisoned(uint64_t address) {
  MutexLock lock(mutex_);
  const FakePage* page = memory_.PageAt(address);
  return page != nullptr && page->poisoned;
}

bool FakeUserFault::IsMapped(uint64_t address) {
  MutexLock lock(mutex_);
  return memory_.AreaAt(address) != nullptr;
}

bool FakeUserFault::IsRegistered(uint64_t address) {
  MutexLock lock(mutex_);
  const FakeArea* area = memory_.AreaAt(address);
  return area != nullptr && area->userfaultfd == kMainUserfaultfd;
}

bool FakeUserFault::Peek(uint64_t address, std::span<std::byte> to) {
  MutexLock lock(mutex_);
  if (!memory_.IsReadable(address)) return false;
  memcpy(to.data(), memory_.BytesAt(address), kPageSize);
  return true;
}

size_t FakeUserFault::unread_faults() {
  MutexLock lock(mutex_);
  return faults_.size();
}

size_t FakeUserFault::program_pages() {
  MutexLock lock(mutex_);
  return memory_.program_pages();
}

}  // namespace uzswap::os
