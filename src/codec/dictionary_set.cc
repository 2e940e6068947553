#include "codec/dictionary_set.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace uzswap {
namespace {

constexpr int kStateShift = 62;
constexpr uint64_t kCountMask = (uint64_t{1} << kStateShift) - 1;

}  // namespace

DictionarySet::State DictionarySet::StateOf(uint64_t word) {
  return static_cast<State>(word >> kStateShift);
}

uint64_t DictionarySet::CountOf(uint64_t word) { return word & kCountMask; }

DictionarySet::~DictionarySet() { UZ_CHECK_EQ(References(), 0u); }

Result<void> DictionarySet::Init(Bytes content_max) {
  UZ_CHECK(!ready());
  UZ_CHECK(content_max.raw() >= kDictionaryBytesMin && content_max.raw() <= kDictionaryBytesMax);
  content_max_ = content_max.raw();
  slot_bytes_ = RoundUpToPage(Dictionary::MemoryFor(content_max_));
  Result<os::Mapping> memory =
      os::Mapping::Reserve(Bytes(slot_bytes_ * kSlots), "mmap for dictionaries");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  return {};
}

bool DictionarySet::Transition(Slot& slot, State from, State to) {
  const bool allowed = (from == State::kEmpty && to == State::kPrepared) ||
                       (from == State::kPrepared && to == State::kCurrent) ||
                       (from == State::kPrepared && to == State::kEmpty) ||
                       (from == State::kCurrent && to == State::kRetired) ||
                       (from == State::kRetired && to == State::kEmpty);
  UZ_CHECK(allowed);
  uint64_t word = slot.word.load(std::memory_order_relaxed);
  for (;;) {
    if (StateOf(word) != from) return false;
    if (to == State::kEmpty && CountOf(word) != 0) return false;
    const uint64_t wanted = static_cast<uint64_t>(to) << kStateShift | CountOf(word);
    // Release: publishes the dictionary to Acquire. Acquire: what users of the slot did before they
    // released their last reference is over before its memory is used again.
    if (slot.word.compare_exchange_weak(word, wanted, std::memory_order_acq_rel,
                                        std::memory_order_relaxed)) {
      return true;
    }
  }
}

std::span<std::byte> DictionarySet::MemoryOf(DictionarySlot slot) const {
  return {memory_.data() + (slot - 1) * slot_bytes_, slot_bytes_};
}

DictionarySlot DictionarySet::FindEmpty() const {
  for (DictionarySlot slot = 1; slot <= kSlots; ++slot) {
    const uint64_t word = slots_[slot].word.load(std::memory_order_relaxed);
    if (StateOf(word) == State::kEmpty) return slot;
  }
  return kNoDictionary;
}

InstallOutcome DictionarySet::Prepare(std::span<const std::byte> content, DictionarySlot* slot) {
  if (!ready()) return InstallOutcome::kNoMemory;
  if (content.size() > content_max_) return InstallOutcome::kNotADictionary;
  const DictionarySlot before = current();
  if (before != kNoDictionary && std::ranges::equal(slots_[before].dictionary.content(), content)) {
    return InstallOutcome::kAlreadyCurrent;
  }
  Collect();
  const DictionarySlot found = FindEmpty();
  if (found == kNoDictionary) return InstallOutcome::kNoSlot;
  if (!memory_.MakeAccessible(found * slot_bytes_)) return InstallOutcome::kNoMemory;
  if (!slots_[found].dictionary.Digest(content, MemoryOf(found))) {
    memory_.Discard((found - 1) * slot_bytes_, slot_bytes_);
    return InstallOutcome::kNotADictionary;
  }
  const bool changed = Transition(slots_[found], State::kEmpty, State::kPrepared);
  UZ_CHECK(changed);
  *slot = found;
  return InstallOutcome::kInstalled;
}

void DictionarySet::Commit(DictionarySlot slot) {
  Retire();
  const bool changed = Transition(slots_[slot], State::kPrepared, State::kCurrent);
  UZ_CHECK(changed);
  current_.store(slot, std::memory_order_release);
}

void DictionarySet::Abandon(DictionarySlot slot) { Empty(slot, State::kPrepared); }

InstallOutcome DictionarySet::Install(std::span<const std::byte> content) {
  DictionarySlot slot = kNoDictionary;
  const InstallOutcome outcome = Prepare(content, &slot);
  if (outcome == InstallOutcome::kInstalled) Commit(slot);
  return outcome;
}

void DictionarySet::Retire() {
  const DictionarySlot slot = current();
  if (slot == kNoDictionary) return;
  current_.store(kNoDictionary, std::memory_order_relaxed);
  const bool changed = Transition(slots_[slot], State::kCurrent, State::kRetired);
  UZ_CHECK(changed);
}

uint32_t DictionarySet::Collect() {
  uint32_t emptied = 0;
  for (DictionarySlot slot = 1; slot <= kSlots; ++slot) {
    const uint64_t word = slots_[slot].word.load(std::memory_order_relaxed);
    if (StateOf(word) != State::kRetired || CountOf(word) != 0) continue;
    Empty(slot, State::kRetired);
    ++emptied;
  }
  return emptied;
}

void DictionarySet::Empty(DictionarySlot slot, State from) {
  // Nobody can take a reference to such a slot without having one, so this cannot fail.
  const bool changed = Transition(slots_[slot], from, State::kEmpty);
  UZ_CHECK(changed);
  slots_[slot].dictionary = {};
  memory_.Discard((slot - 1) * slot_bytes_, slot_bytes_);
}

AcquiredDictionary DictionarySet::Acquire() {
  for (;;) {
    const DictionarySlot slot = current_.load(std::memory_order_acquire);
    if (slot == kNoDictionary) return {};
    Slot& each = slots_[slot];
    uint64_t word = each.word.load(std::memory_order_relaxed);
    while (StateOf(word) == State::kCurrent) {
      // Acquire: pairs with Transition, if the slot was emptied and filled again meanwhile.
      if (each.word.compare_exchange_weak(word, word + 1, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
        return {slot, &each.dictionary};
      }
    }
    // Retired since the first load. The owner has changed current_ before that, so this ends.
  }
}

void DictionarySet::AddReference(DictionarySlot slot) {
  if (slot == kNoDictionary) return;
  // Relaxed: the reference that the caller relies on orders everything.
  const uint64_t before = slots_[slot].word.fetch_add(1, std::memory_order_relaxed);
  UZ_CHECK(CountOf(before) != 0);
}

void DictionarySet::Release(DictionarySlot slot) {
  if (slot == kNoDictionary) return;
  // Release: the use of the dictionary ends before Collect discards it.
  const uint64_t before = slots_[slot].word.fetch_sub(1, std::memory_order_release);
  UZ_CHECK(CountOf(before) != 0);
}

const Dictionary* DictionarySet::Of(DictionarySlot slot) const {
  if (slot == kNoDictionary) return nullptr;
  UZ_DCHECK(ReferencesOf(slot) != 0);
  return &slots_[slot].dictionary;
}

uint32_t DictionarySet::VersionOf(DictionarySlot slot) const {
  const Dictionary* const dictionary = Of(slot);
  return dictionary == nullptr ? 0 : dictionary->version();
}

bool DictionarySet::Collectable() const {
  for (DictionarySlot slot = 1; slot <= kSlots; ++slot) {
    const uint64_t word = slots_[slot].word.load(std::memory_order_relaxed);
    if (StateOf(word) == State::kRetired && CountOf(word) == 0) return true;
  }
  return false;
}

uint32_t DictionarySet::slots_in_use() const {
  uint32_t count = 0;
  for (DictionarySlot slot = 1; slot <= kSlots; ++slot) {
    const uint64_t word = slots_[slot].word.load(std::memory_order_relaxed);
    if (StateOf(word) != State::kEmpty) ++count;
  }
  return count;
}

Bytes DictionarySet::MemoryInUse() const { return Bytes(slots_in_use() * slot_bytes_); }

uint64_t DictionarySet::ReferencesOf(DictionarySlot slot) const {
  return CountOf(slots_[slot].word.load(std::memory_order_relaxed));
}

uint64_t DictionarySet::References() const {
  uint64_t sum = 0;
  for (DictionarySlot slot = 1; slot <= kSlots; ++slot) sum += ReferencesOf(slot);
  return sum;
}

void DictionarySet::Audit() const {
  for (DictionarySlot slot = 1; slot <= kSlots; ++slot) {
    const uint64_t word = slots_[slot].word.load(std::memory_order_relaxed);
    const Dictionary& dictionary = slots_[slot].dictionary;
    UZ_CHECK_EQ(StateOf(word) == State::kEmpty, dictionary.empty());
    UZ_CHECK_EQ(StateOf(word) == State::kCurrent, slot == current());
    if (StateOf(word) == State::kEmpty) UZ_CHECK_EQ(CountOf(word), 0u);
    if (!dictionary.empty()) {
      UZ_CHECK_EQ(dictionary.version(), DictionaryVersionOf(dictionary.content()));
    }
  }
}

}  // namespace uzswap
