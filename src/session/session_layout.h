// The bytes of a session (engine/session.h has the picture). For session.cc and its tests.
//
// Everything another process may look at while it changes is atomic and relaxed, except the
// slot words: storing kLive is a release, reading a word an acquire, so whoever sees a slot
// live also sees who claimed it. All-zero memory is an empty table.
#ifndef UZSWAP_SESSION_SESSION_LAYOUT_H_
#define UZSWAP_SESSION_SESSION_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "base/statistics.h"
#include "base/units.h"
#include "base/wear_account.h"
#include "session/session.h"

namespace uzswap::internal {

inline constexpr uint64_t kSessionMagic = 0x31736573'70777a75;  // "uzwpses1" in memory
// Raise with every change of this file or of Statistics.
inline constexpr uint32_t kSessionVersion = 4;
inline constexpr int kNameWords = 3;

// The slot word.
constexpr uint64_t MakeWord(uint64_t generation, SlotState state, uint32_t pid) {
  return generation << 40 | static_cast<uint64_t>(state) << 32 | pid;
}
constexpr uint64_t GenerationOf(uint64_t word) { return word >> 40; }
constexpr SlotState StateOf(uint64_t word) { return static_cast<SlotState>(word >> 32 & 0xFF); }
constexpr uint32_t PidOf(uint64_t word) { return static_cast<uint32_t>(word); }
constexpr uint64_t WithState(uint64_t word, SlotState state) {
  return MakeWord(GenerationOf(word), state, PidOf(word));
}
static_assert(StateOf(MakeWord(0xFFFFFF, SlotState::kDead, 0xFFFFFFFF)) == SlotState::kDead);
static_assert(GenerationOf(MakeWord(5, SlotState::kFree, 7)) == 5);
static_assert(MakeWord(0, SlotState::kFree, 0) == 0);

struct alignas(kCacheLineSize) SlotEntry {
  std::atomic<uint64_t> word;
  std::atomic<uint64_t> start_time;
  std::atomic<uint64_t> pid_namespace;
  RelaxedCounter usage_bytes;
  RelaxedCounter pool_bytes;
  std::atomic<uint64_t> name[kNameWords];  // zero-padded text
};
static_assert(sizeof(SlotEntry) == kCacheLineSize);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// One line that a process has to say and the runner prints, where the program's own standard
// error goes. Claimed by compare-and-swap; length is stored last.
struct SessionMessage {
  std::atomic<uint32_t> taken;
  std::atomic<uint32_t> length;  // release: whoever sees it sees the text
  char text[Session::kMessageBytes];
};

struct SessionHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t layout_bytes;
  // Written by the creator before anybody else looks, then constant.
  uint64_t limit_bytes;
  uint32_t codec;
  uint32_t pool;
  uint64_t pool_limit_bytes;
  uint64_t backing_size_bytes;
  uint64_t write_limit_bytes;
  uint32_t write_period_s;
  uint32_t encrypt;
  char backing[kBackingPathMax];
  uint32_t has_runner;  // somebody prints the messages

  // Slots at or above this number were never claimed: scans stop there.
  std::atomic<uint32_t> slots_used;
  std::atomic<uint32_t> warnings_given;  // a bit per Warning
  RelaxedCounter claims;
  RelaxedCounter refused_claims;
  RelaxedCounter usage_peak;
  RelaxedCounter pool_peak;
  WearAccount wear;  // bytes written by the tree, if they are limited
  SessionMessage messages[Session::kMessages];
  Statistics exited;
};

struct SessionLayout {
  alignas(kPageSize) SessionHeader header;
  alignas(kPageSize) SlotEntry slots[kSessionSlots];
  struct alignas(kCacheLineSize) PaddedStatistics {
    Statistics figures;
  } statistics[kSessionSlots];
};

}  // namespace uzswap::internal

#endif  // UZSWAP_SESSION_SESSION_LAYOUT_H_
