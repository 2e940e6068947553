// EntriesInFlight: the table of entries whose content is being turned into a page.
//
//   leaf of the index                 entries in flight of this leaf
//   +------------+     +---------------------------+      +---------------------------+
//   | in_flight -+---> | key, word, frame, kFilling | ---> | key, word, frame, kReady  | ---> .
//   | words[64]  |     +---------------------------+      +---------------------------+
//   +------------+       of a load, on its stack            read ahead, a frame of this table
//
// An entry in flight means: the content that `word` names is being decompressed into `frame`. It is
// looked up under the leaf's lock, with three outcomes:
//
//   kNew           no operation does it: the caller's entry is linked, the caller does the work
//   kAlreadyThere  another operation does, or did: wait for the state, then copy from its frame
//   kGone          the word is empty: there is nothing to load
//
// So concurrent loads of a page decompress it once.
//
//   kFilling --Publish--> kReady    the frame holds the page
//                    \--> kFailed   the content could not be read
//                     \-> kStale    the word changed meanwhile: look again
//
// The entry also holds the content: while it is linked, no other thread releases what the word
// owns, or changes the word into another state of the same content. An owner that finds its word
// gone when it finishes releases the content itself. There is at most one entry for a word.
//
// Users are counted in under the leaf's lock. A frame is not used for anything else before its
// entry is unlinked and its users are gone. Users only copy a page, so that wait is short.
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
  // Written once by the owner (release), read by users (acquire): orders the page.
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

  // Looks up the current word of `key`. On kNew, `mine` is linked with that word. On
  // kAlreadyThere, *theirs is set and one user is counted in.
  static InFlightOutcome Acquire(LockedLeaf& leaf, EntryKey key, InFlightEntry& mine,
                                 InFlightEntry** theirs);
  // The entry in flight with this key and word, or nullptr.
  [[nodiscard]] static InFlightEntry* Lookup(const LockedLeaf& leaf, EntryKey key, EntryWord word);
  static void Unlink(LockedLeaf& leaf, InFlightEntry& entry);
  // An entry of this leaf that is being filled, with one user counted in; nullptr if there is none.
  [[nodiscard]] static InFlightEntry* AnyFilling(const LockedLeaf& leaf);

  // --- Without it ---

  // By the owner: tells the users. Once unlinked, AwaitUsers waits until they have copied the page.
  static void Publish(InFlightEntry& entry, InFlightEntry::State state);
  static void AwaitUsers(InFlightEntry& entry);
  // By a user: waits until the state is final.
  [[nodiscard]] static InFlightEntry::State Await(InFlightEntry& entry);
  static void Leave(InFlightEntry& entry);

  // --- Frames for reading ahead ---

  // An entry with a frame of this table, or nullptr if all are in use.
  [[nodiscard]] InFlightEntry* TakeFrame() UZ_EXCLUDES(mutex_);
  // Requires: unlinked, no users.
  void ReturnFrame(InFlightEntry& entry) UZ_EXCLUDES(mutex_);
  // The key of the oldest frame that is filled, to be dropped for another; no key (raw 0) if
  // there is none. A hint: the caller locks the leaf and looks again.
  [[nodiscard]] EntryKey OldestReadAhead() UZ_EXCLUDES(mutex_);

  [[nodiscard]] uint32_t frames() const { return count_; }
  void ResetAfterFork() { mutex_.ResetAfterFork(); }

 private:
  static constexpr uint32_t kFramesMax = 1024;

  os::Mapping frames_;
  os::VirtualArray<InFlightEntry> entries_;
  uint32_t count_ = 0;
  Mutex mutex_{LockRank::kEntriesInFlight};
  InFlightEntry* free_ UZ_GUARDED_BY(mutex_) = nullptr;
  uint32_t free_count_ UZ_GUARDED_BY(mutex_) = 0;
  uint64_t next_serial_ UZ_GUARDED_BY(mutex_) = 1;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_ENTRIES_IN_FLIGHT_H_
