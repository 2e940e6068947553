#include "train/known_dictionaries.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/check.h"

namespace uzswap {
namespace {

struct Slot {
  uint32_t bytes;
  uint32_t version;
  uint32_t owner;
  uint64_t used;  // the clock at the last use
  std::byte content[KnownDictionaries::kContentMax];
};

// A process that is killed has done everything before its last store: the compiler must not move
// them. Only one process at a time looks, so the processor's order does not matter.
void Order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace

struct KnownDictionaries::Memory {
  uint64_t clock;
  Slot slots[kSlots];
};

Bytes KnownDictionaries::MemoryBytes() { return Bytes(sizeof(Memory)); }

KnownDictionaries::KnownDictionaries(std::span<std::byte> memory, uint32_t owner)
    : memory_(reinterpret_cast<Memory*>(memory.data())), owner_(owner) {
  UZ_CHECK_GE(memory.size(), sizeof(Memory));
  UZ_CHECK_EQ(reinterpret_cast<uintptr_t>(memory.data()) % alignof(Memory), 0u);
}

std::span<const std::byte> KnownDictionaries::At(size_t i) const {
  UZ_CHECK_LT(i, kSlots);
  return memory_->slots[i].owner == owner_ ? ContentOf(i) : std::span<const std::byte>();
}

std::span<const std::byte> KnownDictionaries::ContentOf(size_t i) const {
  const Slot& slot = memory_->slots[i];
  if (slot.bytes < kDictionaryBytesMin || slot.bytes > kContentMax) return {};
  const std::span<const std::byte> content(slot.content, slot.bytes);
  return DictionaryVersionOf(content) == slot.version ? content : std::span<const std::byte>();
}

void KnownDictionaries::Use(size_t i) {
  UZ_CHECK(!At(i).empty());
  memory_->slots[i].used = ++memory_->clock;
}

void KnownDictionaries::Add(std::span<const std::byte> content) {
  if (content.size() < kDictionaryBytesMin || content.size() > kContentMax) return;
  size_t oldest = 0;
  for (size_t i = 0; i < kSlots; ++i) {
    if (std::ranges::equal(At(i), content)) return Use(i);
    // An empty slot first. One that was damaged is empty, whatever its last use.
    const auto age = [this](size_t slot) {
      return ContentOf(slot).empty() ? 0 : memory_->slots[slot].used;
    };
    if (age(i) < age(oldest)) oldest = i;
  }
  Slot& slot = memory_->slots[oldest];
  slot.bytes = 0;
  Order();
  memcpy(slot.content, content.data(), content.size());
  slot.version = DictionaryVersionOf(content);
  slot.owner = owner_;
  slot.used = ++memory_->clock;
  Order();
  slot.bytes = static_cast<uint32_t>(content.size());
}

}  // namespace uzswap
