// KnownDictionaries: the last few dictionaries of a run, in memory that outlives the processes that
// train them.
//
//   broker ── memory, shared with its children ──> one training process after the other
//
//   +----------+--------------------------------+----------
//   | clock    | slot 0: bytes, version, owner, | slot 1 ...       8 slots
//   |          |    used, content up to 16 KiB  |
//   +----------+--------------------------------+----------
//
// A dictionary contains bytes of the pages that it was trained from. So it is shared only between
// processes of one user, the owner: the others do not see it.
//
// A training process can be killed at any point. So a slot says `bytes` only after the content is
// complete, and its content must have its version: else the slot is empty. Memory of zeroes has no
// dictionaries.
//
// One thread of one process at a time.
#ifndef UZSWAP_TRAIN_KNOWN_DICTIONARIES_H_
#define UZSWAP_TRAIN_KNOWN_DICTIONARIES_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.h"
#include "codec/dictionary.h"

namespace uzswap {

class KnownDictionaries {
 public:
  static constexpr size_t kSlots = 8;
  static constexpr size_t kContentMax = kDictionaryBytesDefault;
  // Memory that Init needs. A page of it is used only when a slot needs it.
  static Bytes MemoryBytes();

  // Requires: memory of this size, aligned to 8, that was zero before its first use. It outlives
  // this object. `owner` is a user id.
  KnownDictionaries(std::span<std::byte> memory, uint32_t owner);

  // Empty: there is none of this owner. Valid until Add.
  [[nodiscard]] std::span<const std::byte> At(size_t slot) const;
  // A program uses it: it is replaced later than the others. Requires: it is not empty.
  void Use(size_t slot);
  // Replaces the one, of any owner, that was not used for the longest time. Content that is
  // there is only used. Content of a wrong size is not added.
  void Add(std::span<const std::byte> content);

 private:
  struct Memory;
  // Of any owner.
  [[nodiscard]] std::span<const std::byte> ContentOf(size_t slot) const;

  Memory* memory_;
  uint32_t owner_;
};

}  // namespace uzswap

#endif  // UZSWAP_TRAIN_KNOWN_DICTIONARIES_H_
