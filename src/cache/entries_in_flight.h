// EntriesInFlight: frames holding the uncompressed content of an entry, for as long as that
// matters.
//
//   leaf of the index                 slots, one for each entry in flight
//   +-----------+      +---------------------------+      +---------------------------+
//   | slots   --+----> | key, word, frame, kFilling | ---> | key, word, frame, kReady  | ---> .
//   | words[64] |      +---------------------------+      +---------------------------+
//   +-----------+        a load's, on its stack              read ahead, a frame of ours
//
// A slot says: the content that `word` names is being turned into a page in `frame`. It is looked
// up under the leaf's lock, with three outcomes:
//
//   kNew           nobody does it: the caller's slot is linked, the caller does the work
//   kAlreadyThere  somebody does, or did: wait for the state, then copy from that frame
//   kGone          the entry is empty: there is nothing to load
//
// So concurrent loads of a page do the work once; the frame is always the caller's.
//
//   kFilling --Publish--> kReady    the frame holds the page
//                    \--> kFailed   the content could not be read
//                     \-> kStale    the entry changed meanwhile: look again
//
// The slot also holds the content: while a slot names a word, nobody else releases what the word
// owns, and nobody changes the word into another state of the same content. Who finds his word
// gone when he finishes releases the content himself. There is at most one slot for a word.
//
// Users are counted in under the leaf's lock. A frame is not used for anything else before its
// slot is unlinked and its users are gone; they only copy a page, so waiting for them is short.
//
// Any thread. Nothing allocates after Init.
#ifndef UZSWAP_CACHE_ENTRIES_IN_FLIGHT_H_
#define UZSWAP_CACHE_ENTRIES_IN_FLIGHT_H_

#include <atomic>
#include <cstdint>
#include <span>

#include "cache/entry_index.h"

namespace uzswap {

enum class [[nodiscard]] InFlightOutcome : uint8_t{kNew, kAlreadyThere, kGone};

struct InFlightEntry {
  enum class State : uint32_t { kFilling, kReady, kFailed, kStale };

  // Constant while linked.
  EntryKey key;
  EntryWord word;
  std::byte* frame = nullptr;
  bool read_ahead = false;

  InFlightEntry* next = nullptr;  // guarded by the leaf's lock
  // Written once by the slot's owner (release), read by users (acquire): orders the page.
  std::atomic<State> state{State::kFilling};
  // Raised under the leaf's lock; lowered by users (release), awaited by the owner (acquire).
  std::atomic<uint32_t> users{0};

  // For frames read ahead: the list of free frames, and their age.
  InFlightEntry* next_free = nullptr;
  uint64_t serial = 0;
};

class EntriesInFlight {
 public:
  EntriesInFlight() = default;
  ~EntriesInFlight();
  EntriesInFlight(const EntriesInFlight&) = delete;
  EntriesInFlight& operator=(const EntriesInFlight&) = delete;

  // `frames` pages may be read ahead at a time; 0 for none.
  Result<void> Init(uint32_t frames);

  // --- Under the lock of the leaf ---

  // Looks up the entry as it stands in `leaf`. On kNew, `mine` is linked with the entry's word.
  // On kAlreadyThere, *theirs is set and one user is counted in.
  static InFlightOutcome Acquire(LockedLeaf& leaf, EntryKey key, InFlightEntry& mine,
                                 InFlightEntry** theirs);
  // The slot that names this word of this entry, or nullptr.
  [[nodiscard]] static InFlightEntry* Lookup(const LockedLeaf& leaf, EntryKey key, EntryWord word);
  static void Unlink(LockedLeaf& leaf, InFlightEntry& slot);
  // The slot of any operation that is under way on this leaf, with one user counted in.
  [[nodiscard]] static InFlightEntry* AnyFilling(const LockedLeaf& leaf);

  // --- Without it ---

  // The owner's: tells the users. Then, once unlinked, waits until they have copied.
  static void Publish(InFlightEntry& slot, InFlightEntry::State state);
  static void AwaitUsers(InFlightEntry& slot);
  // A user's: waits until the state is final.
  [[nodiscard]] static InFlightEntry::State Await(InFlightEntry& slot);
  static void Leave(InFlightEntry& slot);

  // --- Frames for reading ahead ---

  // A slot with a frame of ours, or nullptr if all are in use.
  [[nodiscard]] InFlightEntry* TakeFrame() UZ_EXCLUDES(mutex_);
  // Requires: unlinked, no users.
  void ReturnFrame(InFlightEntry& slot) UZ_EXCLUDES(mutex_);
  // The key of the oldest frame that is filled, to be dropped for another; no key (raw 0) if
  // there is none. A hint: the caller locks the leaf and looks again.
  [[nodiscard]] EntryKey OldestReadAhead() UZ_EXCLUDES(mutex_);

  [[nodiscard]] uint32_t frames() const { return count_; }
  void ResetAfterFork() { mutex_.ResetAfterFork(); }

 private:
  static constexpr uint32_t kFramesMax = 1024;

  os::Mapping frames_;
  os::VirtualArray<InFlightEntry> slots_;
  uint32_t count_ = 0;
  Mutex mutex_{LockRank::kEntriesInFlight};
  InFlightEntry* free_ UZ_GUARDED_BY(mutex_) = nullptr;
  uint32_t free_count_ UZ_GUARDED_BY(mutex_) = 0;
  uint64_t next_serial_ UZ_GUARDED_BY(mutex_) = 1;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_ENTRIES_IN_FLIGHT_H_
