#include "cache/entries_in_flight.h"

#include <new>
#include <utility>

namespace uzswap {

EntriesInFlight::~EntriesInFlight() {
  MutexLock lock(mutex_);
  UZ_CHECK_EQ(free_count_, count_);
}

Result<void> EntriesInFlight::Init(uint32_t frames) {
  UZ_CHECK_LE(frames, kFramesMax);
  if (frames == 0) return {};
  Result<os::Mapping> memory =
      os::Mapping::Create(Bytes(uint64_t{frames} * kPageSize), "frames for reading ahead");
  if (!memory.ok()) return memory.error();
  Result<os::VirtualArray<InFlightEntry>> slots =
      os::VirtualArray<InFlightEntry>::Create(frames, "slots for reading ahead");
  if (!slots.ok()) return slots.error();
  frames_ = std::move(memory).value();
  slots_ = std::move(slots).value();
  count_ = frames;
  for (uint32_t i = frames; i-- > 0;) {
    InFlightEntry& slot = *new (&slots_[i]) InFlightEntry();
    slot.frame = frames_.data() + size_t{i} * kPageSize;
    slot.read_ahead = true;
    ReturnFrame(slot);
  }
  return {};
}

InFlightEntry* EntriesInFlight::Lookup(const LockedLeaf& leaf, EntryKey key, EntryWord word) {
  for (InFlightEntry* slot = leaf->slots; slot != nullptr; slot = slot->next) {
    if (slot->key == key && slot->word == word) return slot;
  }
  return nullptr;
}

InFlightOutcome EntriesInFlight::Acquire(LockedLeaf& leaf, EntryKey key, InFlightEntry& mine,
                                         InFlightEntry** theirs) {
  const EntryWord word = leaf.word(key);
  if (word.empty()) return InFlightOutcome::kGone;
  if (InFlightEntry* slot = Lookup(leaf, key, word)) {
    slot->users.fetch_add(1, std::memory_order_relaxed);
    *theirs = slot;
    return InFlightOutcome::kAlreadyThere;
  }
  mine.key = key;
  mine.word = word;
  mine.state.store(InFlightEntry::State::kFilling, std::memory_order_relaxed);
  mine.next = leaf->slots;
  leaf->slots = &mine;
  return InFlightOutcome::kNew;
}

void EntriesInFlight::Unlink(LockedLeaf& leaf, InFlightEntry& slot) {
  InFlightEntry** link = &leaf->slots;
  while (*link != &slot) {
    UZ_CHECK(*link != nullptr);
    link = &(*link)->next;
  }
  *link = slot.next;
  slot.next = nullptr;
}

InFlightEntry* EntriesInFlight::AnyFilling(const LockedLeaf& leaf) {
  for (InFlightEntry* slot = leaf->slots; slot != nullptr; slot = slot->next) {
    if (slot->state.load(std::memory_order_acquire) != InFlightEntry::State::kFilling) continue;
    slot->users.fetch_add(1, std::memory_order_relaxed);
    return slot;
  }
  return nullptr;
}

void EntriesInFlight::Publish(InFlightEntry& slot, InFlightEntry::State state) {
  slot.state.store(state, std::memory_order_release);
  slot.state.notify_all();
}

void EntriesInFlight::AwaitUsers(InFlightEntry& slot) {
  uint32_t users = slot.users.load(std::memory_order_acquire);
  while (users != 0) {
    slot.users.wait(users, std::memory_order_acquire);
    users = slot.users.load(std::memory_order_acquire);
  }
}

InFlightEntry::State EntriesInFlight::Await(InFlightEntry& slot) {
  slot.state.wait(InFlightEntry::State::kFilling, std::memory_order_acquire);
  return slot.state.load(std::memory_order_acquire);
}

void EntriesInFlight::Leave(InFlightEntry& slot) {
  // After the subtraction the owner may be gone, and the slot with it: waking by its address
  // is all that may still be done, and that touches no memory of it.
  std::atomic<uint32_t>* users = &slot.users;
  if (users->fetch_sub(1, std::memory_order_release) == 1) users->notify_all();
}

InFlightEntry* EntriesInFlight::TakeFrame() {
  MutexLock lock(mutex_);
  InFlightEntry* slot = free_;
  if (slot == nullptr) return nullptr;
  free_ = slot->next_free;
  --free_count_;
  slot->serial = next_serial_++;
  slot->state.store(InFlightEntry::State::kFilling, std::memory_order_relaxed);
  return slot;
}

void EntriesInFlight::ReturnFrame(InFlightEntry& slot) {
  MutexLock lock(mutex_);
  slot.serial = 0;
  slot.next_free = free_;
  free_ = &slot;
  ++free_count_;
}

EntryKey EntriesInFlight::OldestReadAhead() {
  MutexLock lock(mutex_);
  const InFlightEntry* oldest = nullptr;
  for (uint32_t i = 0; i < count_; ++i) {
    const InFlightEntry& slot = slots_[i];
    if (slot.serial == 0) continue;
    if (slot.state.load(std::memory_order_acquire) != InFlightEntry::State::kReady) continue;
    if (oldest == nullptr || slot.serial < oldest->serial) oldest = &slot;
  }
  // The state was published after the key was set, so the key may be read.
  return oldest == nullptr ? EntryKey() : oldest->key;
}

}  // namespace uzswap
