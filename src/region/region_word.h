// RegionWord, RegionWords: the state of each page of a region, one word for each.
//
//     63          32 31    16 15   8      4         3      2     0
//    +--------------+--------+------+---+---------+------+--------+
//    | frame, slot, |  pins  | age  |   | awaited | busy | state  |
//    | or pattern   |        |      |   |         |      |        |
//    +--------------+--------+------+---+---------+------+--------+
//
//              first touch                    isolated                   stored
//    [ Empty ] ------------> [ Resident ] <-------------> [ Staged ] ------------> [ Stored ]
//        ^                       ^  ^        touched           |                  [SameFilled]
//        |                       |  |                          |                      |
//        +---- Discard ----------+  +-------- touched: loaded -+----------------------+
//
// A thread that changes the state of a page claims its word first: it sets `busy`, which one thread
// at a time can have. It gives the word back with the new state. Other threads that need the page
// wait meanwhile. What belongs to a page that is not Resident (its frame, its slot) belongs to the
// word, and the thread that has claimed the word may free it.
//
//    Claim: acquire    sees what the last owner of the word did to the page and its frame or slot
//    GiveBack: release
//
// Pins and age of a word that is not busy are changed with a compare and exchange.
//
// Any thread, also in a signal handler. Nothing allocates after Init.
#ifndef UZSWAP_REGION_REGION_WORD_H_
#define UZSWAP_REGION_REGION_WORD_H_

#include <atomic>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "base/result.h"
#include "os/thread.h"
#include "os/virtual_array.h"

namespace uzswap {

enum class RegionPageState : uint8_t { kEmpty, kResident, kStaged, kStored, kSameFilled };

class RegionWord {
 public:
  static constexpr uint32_t kAgeMax = 3;
  static constexpr uint32_t kPinsMax = 0xffff;

  constexpr RegionWord() = default;
  constexpr explicit RegionWord(uint64_t raw) : raw_(raw) {}

  [[nodiscard]] constexpr uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr RegionPageState state() const {
    return static_cast<RegionPageState>(raw_ & kStateMask);
  }
  [[nodiscard]] constexpr bool busy() const { return (raw_ & kBusy) != 0; }
  [[nodiscard]] constexpr bool awaited() const { return (raw_ & kAwaited) != 0; }
  // How many more passes over a Resident page spare it.
  [[nodiscard]] constexpr uint32_t age() const {
    return static_cast<uint32_t>(raw_ >> kAgeShift & kAgeMask);
  }
  [[nodiscard]] constexpr uint32_t pins() const {
    return static_cast<uint32_t>(raw_ >> kPinsShift & kPinsMax);
  }
  [[nodiscard]] constexpr uint32_t payload() const { return static_cast<uint32_t>(raw_ >> 32); }

  // The same page, with its pins, in another state. Neither busy nor awaited.
  [[nodiscard]] constexpr RegionWord In(RegionPageState state, uint32_t payload = 0) const {
    return RegionWord(static_cast<uint64_t>(state) | (raw_ & uint64_t{kPinsMax} << kPinsShift) |
                      uint64_t{payload} << 32);
  }
  [[nodiscard]] constexpr RegionWord Resident(uint32_t age) const {
    return RegionWord(In(RegionPageState::kResident).raw_ | uint64_t{age} << kAgeShift);
  }
  [[nodiscard]] constexpr RegionWord Busy() const { return RegionWord(raw_ | kBusy); }
  [[nodiscard]] constexpr RegionWord Awaited() const { return RegionWord(raw_ | kAwaited); }
  [[nodiscard]] constexpr RegionWord WithPins(uint32_t pins) const {
    return RegionWord((raw_ & ~(uint64_t{kPinsMax} << kPinsShift)) | uint64_t{pins} << kPinsShift);
  }

  friend constexpr bool operator==(RegionWord, RegionWord) = default;

 private:
  static constexpr uint64_t kStateMask = 7;
  static constexpr uint64_t kBusy = 8;
  static constexpr uint64_t kAwaited = 16;
  static constexpr uint64_t kAgeMask = 0xff;
  static constexpr unsigned kAgeShift = 8;
  static constexpr unsigned kPinsShift = 16;

  uint64_t raw_ = 0;
};

class RegionWords {
 public:
  // Once. All pages are Empty. Fails with the errno of mmap.
  Result<void> Init(uint64_t pages) {
    auto words = os::VirtualArray<std::atomic<uint64_t>>::Create(pages, "the words of a region");
    if (!words.ok()) return words.error();
    words_ = std::move(words).value();
    return {};
  }
  [[nodiscard]] uint64_t pages() const { return words_.capacity(); }

  [[nodiscard]] RegionWord Read(uint64_t page) const {
    return RegionWord(words_[page].load(std::memory_order_acquire));
  }
  // The word when no thread has claimed it. It can be claimed again at once.
  [[nodiscard]] RegionWord ReadSettled(uint64_t page) {
    while (true) {
      const RegionWord word = Read(page);
      if (!word.busy()) return word;
      Await(page, word);
    }
  }
  // Requires: `seen` is not busy. False if the word is not `seen` any more.
  [[nodiscard]] bool Claim(uint64_t page, RegionWord seen) {
    return Replace(page, seen, seen.Busy());
  }
  // Claims the word, whatever its state. Returns it as it was.
  [[nodiscard]] RegionWord ClaimAny(uint64_t page) {
    while (true) {
      const RegionWord word = ReadSettled(page);
      if (Claim(page, word)) return word;
    }
  }
  // Requires: the caller has claimed the word. `next` is not busy.
  void GiveBack(uint64_t page, RegionWord next) {
    UZ_DCHECK(!next.busy());
    const RegionWord before(words_[page].exchange(next.raw(), std::memory_order_release));
    UZ_DCHECK(before.busy());
    if (before.awaited()) os::FutexWake(FutexOf(page), INT_MAX);
  }
  // For pins and age. Requires: neither word is busy.
  [[nodiscard]] bool Change(uint64_t page, RegionWord seen, RegionWord next) {
    return Replace(page, seen, next);
  }

 private:
  // A claim is held for microseconds, unless its owner has lost its processor or reads the disk.
  static constexpr int kSpins = 200;
  static constexpr uint64_t kAwaitNs = 1'000'000;

  bool Replace(uint64_t page, RegionWord seen, RegionWord next) {
    uint64_t expected = seen.raw();
    // Acquire: see the top of the file.
    return words_[page].compare_exchange_strong(expected, next.raw(), std::memory_order_acq_rel,
                                                std::memory_order_relaxed);
  }
  // The futex is the lower half of the word, which has the bits `busy` and `awaited`.
  [[nodiscard]] const void* FutexOf(uint64_t page) const { return &words_[page]; }
  void Await(uint64_t page, RegionWord busy) {
    for (int i = 0; i < kSpins; ++i) {
      os::SpinPause();
      if (Read(page) != busy) return;
    }
    const RegionWord awaited = busy.Awaited();
    if (busy != awaited && !Replace(page, busy, awaited)) return;
    os::FutexWait(FutexOf(page), static_cast<uint32_t>(awaited.raw()), kAwaitNs);
  }

  os::VirtualArray<std::atomic<uint64_t>> words_;
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_REGION_WORD_H_
