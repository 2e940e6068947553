// EntryWord: the state of one stored page in 64 bits, and the only function that changes it.
//
//    63  60 59                                                     0
//   +------+--------------------------------------------------------+
//   | kind |                       payload                          |
//   +------+--------------------------------------------------------+
//    Empty       0
//    SameFilled  form:4 | value:56              the page repeats one pattern
//    Pooled      dense:1 dictionary:4 tried:1 referenced:1 codec:4 handle:48    in the pool
//    Writing     the same                       and being written to the backing store
//    OnDisk      dictionary:4 | place:54        on the backing store only
//
//                      Store                BeginWrite              Written
//   Empty ---------------------> Pooled ----------------> Writing -----------> OnDisk --+
//     ^  \                        ^ | ^                     |                   ^   |   |
//     |   `--> SameFilled         | | +---- Touch, Fail ----+                   +---+ Relocate
//     |                           +-+ Recompress, Touch
//     +------ Take, Invalidate, Drop: from any of them; Store goes from any to Pooled
//
// Ownership: the content that a word names (a handle or a place, and a reference to the
// dictionary's slot) belongs to the word. The thread that removes the word releases the content,
// unless an entry in flight has the same word: then the owner of that entry releases it, when it
// finds its word gone (see entries_in_flight.h).
//
// Two words in the pool are equal only if they name the same content in the same state, because
// handles carry a generation (of 16 bits). A place on disk is used again when its segment is
// written again. So a thread that compares a word on disk with one that it saw before holds the
// content by an entry in flight, or compares the generation of the segment too
// (BackingStore::GenerationOf).
#ifndef UZSWAP_CACHE_ENTRY_WORD_H_
#define UZSWAP_CACHE_ENTRY_WORD_H_

#include <cstdint>
#include <optional>

#include "backing/disk_place.h"
#include "codec/codec.h"
#include "codec/dictionary_set.h"
#include "pool/handle.h"

namespace uzswap {

enum class EntryKind : uint8_t { kEmpty, kSameFilled, kPooled, kWriting, kOnDisk };

// Why a word changes. Each allows certain pairs of kinds and no other (entry_word.cc).
enum class EntryEvent : uint8_t {
  kStore,       // new content; the old is superseded, or erased because the store failed
  kTake,        // an exclusive load takes the page out
  kInvalidate,  // the page is no longer needed
  kDrop,        // an ephemeral page is dropped
  kTouch,       // a load keeps the copy: referenced now, and no longer a candidate for writing
  kAge,         // the second chance is used up
  kBeginWrite,  // its bytes are in a batch
  kWritten,     // the batch is on the store
  kWriteFailed,
  kRelocate,    // the cleaner moved the record to another place
  kRecompress,  // another codec made a smaller object
};

class EntryWord {
 public:
  constexpr EntryWord() = default;

  static constexpr EntryWord Pooled(Handle handle, CodecId codec,
                                    DictionarySlot dictionary = kNoDictionary) {
    return EntryWord(EntryKind::kPooled, uint64_t{dictionary} << kDictionaryShift |
                                             uint64_t{static_cast<uint8_t>(codec)} << kCodecShift |
                                             handle.raw());
  }
  static constexpr EntryWord OnDisk(DiskPlace place, DictionarySlot dictionary = kNoDictionary) {
    return EntryWord(EntryKind::kOnDisk, uint64_t{dictionary} << kDictionaryShift | place.raw());
  }
  // Empty if the pattern does not fit into the word: it is then stored as an object of 8 bytes.
  static std::optional<EntryWord> SameFilled(uint64_t pattern);
  static constexpr EntryWord FromRaw(uint64_t raw) {
    EntryWord word;
    word.raw_ = raw;
    return word;
  }

  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr EntryKind kind() const {
    return static_cast<EntryKind>(raw_ >> kKindShift);
  }
  [[nodiscard]] constexpr bool empty() const { return raw_ == 0; }
  [[nodiscard]] constexpr bool in_pool() const {
    return kind() == EntryKind::kPooled || kind() == EntryKind::kWriting;
  }
  // Requires: in_pool().
  [[nodiscard]] constexpr Handle handle() const {
    return Handle::FromRaw(raw_ & ((uint64_t{1} << Handle::kBits) - 1));
  }
  [[nodiscard]] constexpr CodecId codec() const {
    return static_cast<CodecId>(raw_ >> kCodecShift & 0xf);
  }
  [[nodiscard]] constexpr bool referenced() const { return (raw_ & kReferenced) != 0; }
  [[nodiscard]] constexpr bool tried() const { return (raw_ & kTried) != 0; }
  [[nodiscard]] constexpr bool dense() const { return (raw_ & kDense) != 0; }
  // Requires: kOnDisk.
  [[nodiscard]] constexpr DiskPlace place() const {
    return DiskPlace::FromRaw(raw_ & ((uint64_t{1} << kDictionaryShift) - 1));
  }
  // The slot of the dictionary that the content needs. Any kind may be asked.
  [[nodiscard]] constexpr DictionarySlot dictionary() const {
    if (!in_pool() && kind() != EntryKind::kOnDisk) return kNoDictionary;
    return static_cast<DictionarySlot>(raw_ >> kDictionaryShift & DictionarySet::kSlots);
  }
  // Requires: kSameFilled.
  [[nodiscard]] uint64_t pattern() const;

  // The same content in another state. Requires: in_pool().
  [[nodiscard]] constexpr EntryWord AsWriting() const {
    return EntryWord(EntryKind::kWriting, raw_ & kPayload & ~kReferenced);
  }
  [[nodiscard]] constexpr EntryWord AsPooled() const {
    return EntryWord(EntryKind::kPooled, raw_ & kPayload);
  }
  [[nodiscard]] constexpr EntryWord WithReferenced(bool referenced) const {
    return FromRaw(referenced ? raw_ | kReferenced : raw_ & ~kReferenced);
  }
  // Recompression was tried and gained nothing; it is not tried again.
  [[nodiscard]] constexpr EntryWord WithTried() const { return FromRaw(raw_ | kTried); }
  // DenseCodec() made the object.
  [[nodiscard]] constexpr EntryWord WithDense() const { return FromRaw(raw_ | kDense); }

  friend constexpr bool operator==(EntryWord, EntryWord) = default;

 private:
  static constexpr int kKindShift = 60;
  static constexpr uint64_t kPayload = (uint64_t{1} << kKindShift) - 1;
  static constexpr int kCodecShift = Handle::kBits;
  static constexpr uint64_t kReferenced = uint64_t{1} << 52;
  static constexpr uint64_t kTried = uint64_t{1} << 53;
  static constexpr int kDictionaryShift = 54;
  static constexpr uint64_t kDense = uint64_t{1} << (kDictionaryShift + 4);
  static_assert(DiskPlace::kBits <= kDictionaryShift && kCodecShift + 4 == 52);
  static_assert(DictionarySet::kSlots == 15 && kDictionaryShift + 4 < kKindShift);

  constexpr EntryWord(EntryKind kind, uint64_t payload)
      : raw_(uint64_t{static_cast<uint8_t>(kind)} << kKindShift | payload) {}

  uint64_t raw_ = 0;
};

// Changes `word` to `to`. Panics if `event` does not lead from the one to the other.
// Requires: the lock of the leaf that holds the word.
void Transition(EntryWord& word, EntryEvent event, EntryWord to);

}  // namespace uzswap

#endif  // UZSWAP_CACHE_ENTRY_WORD_H_
