// DictionarySet: the dictionaries that a process uses, in numbered slots, with references.
//
//             Prepare               Commit                Retire, Commit of another
//   [ empty ] -------> [ prepared ] -------> [ current ] --------------> [ retired ]
//       ^                   |                  Acquire:                       |
//       |      Abandon      |                  references + 1                 |
//       +-------------------+                                                 |
//       +------------- Collect, only when references == 0 --------------------+
//
//   AddReference, Release: references +- 1, in the states current and retired
//
// Slot 0 means "no dictionary". At most one slot is current: new objects are compressed with it.
// An object holds a reference to its slot for as long as it exists, in the pool or on disk, so its
// dictionary stays. A slot that is not current any more is retired; when its last object has gone
// its memory can be used again. That is done by Collect, not by the thread that releases the
// last reference: it makes a system call, and a fault should not wait for one.
//
// State and references are one word, changed by compare and exchange: Acquire takes a reference
// only while the slot is current, so a reference never comes back to a retired slot whose count is
// zero. AddReference requires a reference that cannot go meanwhile.
//
//   [ slot 1 | slot 2 | ... | slot 15 ]     address space is reserved by Init, memory is used by
//                                           the slots that hold a dictionary
//
// Nothing is mapped after Init: a program may be about to use any hole in its address space.
//
// A prepared dictionary is for its owner only, who tries it and commits or abandons it. Install
// does both at once.
//
// Any thread may call Acquire, AddReference, Release, Of and the figures. Prepare, Commit, Abandon,
// Install, Retire and Collect: one thread at a time, the owner. A forked child inherits the set as
// it is.
//
// Size: 28 methods. Owner and users work on the same words; a third of the methods are figures.
#ifndef UZSWAP_CODEC_DICTIONARY_SET_H_
#define UZSWAP_CODEC_DICTIONARY_SET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/units.h"
#include "codec/dictionary.h"
#include "os/mapping.h"

namespace uzswap {

// The number of a slot. 0: no dictionary.
using DictionarySlot = uint8_t;
inline constexpr DictionarySlot kNoDictionary = 0;

enum class [[nodiscard]] InstallOutcome : uint8_t{
    kInstalled,       // Prepare: it is prepared
    kAlreadyCurrent,  // the current dictionary has this content
    kNotADictionary,  // the content cannot be used
    kNoSlot,          // all slots are referenced; retry when objects have gone
    kNoMemory,        // the kernel refuses to make the slot's memory accessible
};

// A dictionary with a reference that belongs to the caller.
struct AcquiredDictionary {
  DictionarySlot slot = kNoDictionary;
  const Dictionary* dictionary = nullptr;
};

class DictionarySet {
 public:
  // Slots are numbered 1 to kSlots. An entry of the cache has four bits for one.
  static constexpr DictionarySlot kSlots = 15;

  DictionarySet() = default;
  ~DictionarySet();
  DictionarySet(const DictionarySet&) = delete;
  DictionarySet& operator=(const DictionarySet&) = delete;

  // Once. Without it the set stays empty and Install returns kNoMemory. Content may have at most
  // `content_max` bytes. Fails with the errno of mmap.
  Result<void> Init(Bytes content_max);
  [[nodiscard]] bool ready() const { return !memory_.empty(); }

  // --- The owner ---
  // Digests the content in an empty slot. `slot` is set if the outcome is kInstalled. Requires: no
  // other slot is prepared.
  InstallOutcome Prepare(std::span<const std::byte> content, DictionarySlot* slot);
  // Makes the prepared dictionary the current one. The one before is retired.
  void Commit(DictionarySlot slot);
  // Empties the prepared slot.
  void Abandon(DictionarySlot slot);
  // Prepare and Commit.
  InstallOutcome Install(std::span<const std::byte> content);
  // The dictionary of a slot that is prepared or current. No reference is needed.
  [[nodiscard]] const Dictionary& OwnersView(DictionarySlot slot) const {
    return slots_[slot].dictionary;
  }
  // No dictionary is current afterwards.
  void Retire();
  // Empties retired slots that nothing refers to, and returns their memory to the kernel. Returns
  // how many.
  uint32_t Collect();

  // --- Any thread ---
  // The current dictionary and a new reference to it, or slot 0 if there is none.
  [[nodiscard]] AcquiredDictionary Acquire();
  // Requires: slot 0, or somebody holds a reference that cannot be released meanwhile.
  void AddReference(DictionarySlot slot);
  // Requires: slot 0, or the caller owns a reference.
  void Release(DictionarySlot slot);
  // nullptr for slot 0. Requires: a reference is held.
  [[nodiscard]] const Dictionary* Of(DictionarySlot slot) const;
  // 0 for slot 0. Requires: a reference is held.
  [[nodiscard]] uint32_t VersionOf(DictionarySlot slot) const;

  [[nodiscard]] DictionarySlot current() const { return current_.load(std::memory_order_relaxed); }
  // True if Collect would empty a slot.
  [[nodiscard]] bool Collectable() const;
  // Slots that hold a dictionary, and the memory they take.
  [[nodiscard]] uint32_t slots_in_use() const;
  [[nodiscard]] Bytes MemoryInUse() const;
  // What one dictionary takes, at most.
  [[nodiscard]] Bytes MemoryOfSlot() const { return Bytes(slot_bytes_); }
  // References of all slots: objects that need a dictionary.
  [[nodiscard]] uint64_t References() const;
  [[nodiscard]] uint64_t ReferencesOf(DictionarySlot slot) const;

  // Requires: no other thread is active.
  void Audit() const;

 private:
  enum class State : uint64_t { kEmpty = 0, kPrepared, kCurrent, kRetired };

  // Every store and load writes the word and reads the dictionary: not on one cache line.
  struct Slot {
    alignas(64) std::atomic<uint64_t> word{0};  // state:2 | references:62
    alignas(64) Dictionary dictionary;
  };

  [[nodiscard]] static State StateOf(uint64_t word);
  [[nodiscard]] static uint64_t CountOf(uint64_t word);
  // The only function that changes a slot's state. False if it has another state than `from`, or
  // has references and `to` is kEmpty.
  static bool Transition(Slot& slot, State from, State to);

  [[nodiscard]] std::span<std::byte> MemoryOf(DictionarySlot slot) const;
  [[nodiscard]] DictionarySlot FindEmpty() const;
  void Empty(DictionarySlot slot, State from);

  os::Mapping memory_;
  size_t slot_bytes_ = 0;
  size_t content_max_ = 0;
  Slot slots_[kSlots + 1];
  // Written by the owner. A release store publishes the dictionary of the slot.
  std::atomic<DictionarySlot> current_{kNoDictionary};
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_DICTIONARY_SET_H_
