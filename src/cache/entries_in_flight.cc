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
  Result<os::VirtualArray<InFlightEntry>> entries =
      os::VirtualArray<InFlightEntry>::Create(frames, "entries for reading ahead");
  if (!entries.ok()) return entries.error();
  frames_ = std::move(memory).value();
  entries_ = std::move(entries).value();
  count_ = frames;
  for (uint32_t i = frames; i-- > 0;) {
    InFlightEntry& entry = *new (&entries_[i]) InFlightEntry();
    entry.frame = frames_.data() + size_t{i} * kPageSize;
    entry.read_ahead = true;
    ReturnFrame(entry);
  }
  return {};
}

InFlightEntry* EntriesInFlight::Lookup(const LockedLeaf& leaf, EntryKey key, EntryWord word) {
  for (InFlightEntry* entry = leaf->in_flight; entry != nullptr; entry = entry->next) {
    if (entry->key == key && entry->word == word) return entry;
  }
  return nullptr;
}

InFlightOutcome EntriesInFlight::Acquire(LockedLeaf& leaf, EntryKey key, InFlightEntry& mine,
                                         InFlightEntry** theirs) {
  const EntryWord word = leaf.word(key);
  if (word.empty()) return InFlightOutcome::kGone;
  if (InFlightEntry* entry = Lookup(leaf, key, word)) {
    entry->users.fetch_add(1, std::memory_order_relaxed);
    *theirs = entry;
    return InFlightOutcome::kAlreadyThere;
  }
  mine.key = key;
  mine.word = word;
  mine.state.store(InFlightEntry::State::kFilling, std::memory_order_relaxed);
  mine.next = leaf->in_flight;
  leaf->in_flight = &mine;
  return InFlightOutcome::kNew;
}

void EntriesInFlight::Unlink(LockedLeaf& leaf, InFlightEntry& entry) {
  InFlightEntry** link = &leaf->in_flight;
  while (*link != &entry) {
    UZ_CHECK(*link != nullptr);
    link = &(*link)->next;
  }
  *link = entry.next;
  entry.next = nullptr;
}

InFlightEntry* EntriesInFlight::AnyFilling(const LockedLeaf& leaf) {
  for (InFlightEntry* entry = leaf->in_flight; entry != nullptr; entry = entry->next) {
    if (entry->state.load(std::memory_order_acquire) != InFlightEntry::State::kFilling) continue;
    entry->users.fetch_add(1, std::memory_order_relaxed);
    return entry;
  }
  return nullptr;
}

void EntriesInFlight::Publish(InFlightEntry& entry, InFlightEntry::State state) {
  entry.state.store(state, std::memory_order_release);
  entry.state.notify_all();
}

void EntriesInFlight::AwaitUsers(InFlightEntry& entry) {
  uint32_t users = entry.users.load(std::memory_order_acquire);
  while (users != 0) {
    entry.users.wait(users, std::memory_order_acquire);
    users = entry.users.load(std::memory_order_acquire);
  }
}

InFlightEntry::State EntriesInFlight::Await(InFlightEntry& entry) {
  entry.state.wait(InFlightEntry::State::kFilling, std::memory_order_acquire);
  return entry.state.load(std::memory_order_acquire);
}

void EntriesInFlight::Leave(InFlightEntry& entry) {
  // After the subtraction the owner may free the entry. Waking by its address is still allowed:
  // that touches no memory of the entry.
  std::atomic<uint32_t>* users = &entry.users;
  if (users->fetch_sub(1, std::memory_order_release) == 1) users->notify_all();
}

InFlightEntry* EntriesInFlight::TakeFrame() {
  MutexLock lock(mutex_);
  InFlightEntry* entry = free_;
  if (entry == nullptr) return nullptr;
  free_ = entry->next_free;
  --free_count_;
  entry->serial = next_serial_++;
  entry->state.store(InFlightEntry::State::kFilling, std::memory_order_relaxed);
  return entry;
}

void EntriesInFlight::ReturnFrame(InFlightEntry& entry) {
  MutexLock lock(mutex_);
  entry.serial = 0;
  entry.next_free = free_;
  free_ = &entry;
  ++free_count_;
}

EntryKey EntriesInFlight::OldestReadAhead() {
  MutexLock lock(mutex_);
  const InFlightEntry* oldest = nullptr;
  for (uint32_t i = 0; i < count_; ++i) {
    const InFlightEntry& entry = entries_[i];
    if (entry.serial == 0) continue;
    if (entry.state.load(std::memory_order_acquire) != InFlightEntry::State::kReady) continue;
    if (oldest == nullptr || entry.serial < oldest->serial) oldest = &entry;
  }
  // The state was published after the key was set, so the key may be read.
  return oldest == nullptr ? EntryKey() : oldest->key;
}

}  // namespace uzswap
