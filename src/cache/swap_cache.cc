#include "cache/swap_cache.h"

#include <new>
#include <utility>

namespace uzswap {

SwapCache::~SwapCache() {
  MutexLock lock(mutex_);
  UZ_CHECK_EQ(free_count_, count_);
}

Result<void> SwapCache::Init(uint32_t frames) {
  UZ_CHECK_LE(frames, kFramesMax);
  if (frames == 0) return {};
  Result<os::Mapping> memory =
      os::Mapping::Create(Bytes(uint64_t{frames} * kPageSize), "frames for reading ahead");
  if (!memory.ok()) return memory.error();
  Result<os::VirtualArray<SwapCacheSlot>> slots =
      os::VirtualArray<SwapCacheSlot>::Create(frames, "slots for reading ahead");
  if (!slots.ok()) return slots.error();
  frames_ = std::move(memory).value();
  slots_ = std::move(slots).value();
  count_ = frames;
  for (uint32_t i = frames; i-- > 0;) {
    SwapCacheSlot& slot = *new (&slots_[i]) SwapCacheSlot();
    slot.frame = frames_.data() + size_t{i} * kPageSize;
    slot.read_ahead = true;
    ReturnFrame(slot);
  }
  return {};
}

SwapCacheSlot* SwapCache::Lookup(const LockedLeaf& leaf, EntryKey key, EntryWord word) {
  for (SwapCacheSlot* slot = leaf->slots; slot != nullptr; slot = slot->next) {
    if (slot->key == key && slot->word == word) return slot;
  }
  return nullptr;
}

SwapCacheOutcome SwapCache::Acquire(LockedLeaf& leaf, EntryKey key, SwapCacheSlot& mine,
                                    SwapCacheSlot** theirs) {
  const EntryWord word = leaf.word(key);
  if (word.empty()) return SwapCacheOutcome::kGone;
  if (SwapCacheSlot* slot = Lookup(leaf, key, word)) {
    slot->users.fetch_add(1, std::memory_order_relaxed);
    *theirs = slot;
    return SwapCacheOutcome::kAlreadyThere;
  }
  mine.key = key;
  mine.word = word;
  mine.state.store(SwapCacheSlot::State::kFilling, std::memory_order_relaxed);
  mine.next = leaf->slots;
  leaf->slots = &mine;
  return SwapCacheOutcome::kNew;
}

void SwapCache::Unlink(LockedLeaf& leaf, SwapCacheSlot& slot) {
  SwapCacheSlot** link = &leaf->slots;
  while (*link != &slot) {
    UZ_CHECK(*link != nullptr);
    link = &(*link)->next;
  }
  *link = slot.next;
  slot.next = nullptr;
}

SwapCacheSlot* SwapCache::AnyFilling(const LockedLeaf& leaf) {
  for (SwapCacheSlot* slot = leaf->slots; slot != nullptr; slot = slot->next) {
    if (slot->state.load(std::memory_order_acquire) != SwapCacheSlot::State::kFilling) continue;
    slot->users.fetch_add(1, std::memory_order_relaxed);
    return slot;
  }
  return nullptr;
}

void SwapCache::Publish(SwapCacheSlot& slot, SwapCacheSlot::State state) {
  slot.state.store(state, std::memory_order_release);
  slot.state.notify_all();
}

void SwapCache::AwaitUsers(SwapCacheSlot& slot) {
  uint32_t users = slot.users.load(std::memory_order_acquire);
  while (users != 0) {
    slot.users.wait(users, std::memory_order_acquire);
    users = slot.users.load(std::memory_order_acquire);
  }
}

SwapCacheSlot::State SwapCache::Await(SwapCacheSlot& slot) {
  slot.state.wait(SwapCacheSlot::State::kFilling, std::memory_order_acquire);
  return slot.state.load(std::memory_order_acquire);
}

void SwapCache::Leave(SwapCacheSlot& slot) {
  // After the subtraction the owner may be gone, and the slot with it: waking by its address
  // is all that may still be done, and that touches no memory of it.
  std::atomic<uint32_t>* users = &slot.users;
  if (users->fetch_sub(1, std::memory_order_release) == 1) users->notify_all();
}

SwapCacheSlot* SwapCache::TakeFrame() {
  MutexLock lock(mutex_);
  SwapCacheSlot* slot = free_;
  if (slot == nullptr) return nullptr;
  free_ = slot->next_free;
  --free_count_;
  slot->serial = next_serial_++;
  slot->state.store(SwapCacheSlot::State::kFilling, std::memory_order_relaxed);
  return slot;
}

void SwapCache::ReturnFrame(SwapCacheSlot& slot) {
  MutexLock lock(mutex_);
  slot.serial = 0;
  slot.next_free = free_;
  free_ = &slot;
  ++free_count_;
}

EntryKey SwapCache::OldestReadAhead() {
  MutexLock lock(mutex_);
  const SwapCacheSlot* oldest = nullptr;
  for (uint32_t i = 0; i < count_; ++i) {
    const SwapCacheSlot& slot = slots_[i];
    if (slot.serial == 0) continue;
    if (slot.state.load(std::memory_order_acquire) != SwapCacheSlot::State::kReady) continue;
    if (oldest == nullptr || slot.serial < oldest->serial) oldest = &slot;
  }
  // The state was published after the key was set, so the key may be read.
  return oldest == nullptr ? EntryKey() : oldest->key;
}

uint32_t SwapCache::frames_free() {
  MutexLock lock(mutex_);
  return free_count_;
}

}  // namespace uzswap
