// The layout of the memory of a session (session/session.h has the picture). For session.cc,
// process_records.cc and their tests.
//
// What changes while other processes may read it is atomic and relaxed, except the words of
// records: storing kLive is a release and reading a word is an acquire, so a process that sees a
// record live also sees who claimed it. Memory of zeroes is an empty table.
#ifndef UZSWAP_SESSION_SESSION_LAYOUT_H_
#define UZSWAP_SESSION_SESSION_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "base/statistics.h"
#include "base/units.h"
#include "base/wear_account.h"
#include "codec/dictionary.h"
#include "session/broker_record.h"
#include "session/session.h"

namespace uzswap::internal {

inline constexpr uint64_t kSessionMagic = 0x31736573'70777a75;  // "uzwpses1" in memory
// Increment it with every change of this file, of Statistics, of CodecMode, of PoolKind or of
// session/broker_record.h.
inline constexpr uint32_t kSessionVersion = 23;
inline constexpr int kNameWords = 3;

// The word of a record.
constexpr uint64_t MakeWord(uint64_t generation, RecordState state, uint32_t pid) {
  return generation << 40 | static_cast<uint64_t>(state) << 32 | pid;
}
constexpr uint64_t GenerationOf(uint64_t word) { return word >> 40; }
constexpr RecordState StateOf(uint64_t word) { return static_cast<RecordState>(word >> 32 & 0xFF); }
constexpr uint32_t PidOf(uint64_t word) { return static_cast<uint32_t>(word); }
constexpr uint64_t WithState(uint64_t word, RecordState state) {
  return MakeWord(GenerationOf(word), state, PidOf(word));
}
static_assert(StateOf(MakeWord(0xFFFFFF, RecordState::kDead, 0xFFFFFFFF)) == RecordState::kDead);
static_assert(GenerationOf(MakeWord(5, RecordState::kFree, 7)) == 5);
static_assert(MakeWord(0, RecordState::kFree, 0) == 0);

struct alignas(kCacheLineSize) RecordEntry {
  std::atomic<uint64_t> word;  // the program's pid
  std::atomic<uint64_t> start_time;
  std::atomic<uint64_t> pid_namespace;
  RelaxedCounter usage_bytes;
  RelaxedCounter pool_bytes;
  std::atomic<uint64_t> name[kNameWords];  // zero-padded text
  // The process with the engine, which counts into the record until it has ended. Zero: the
  // engine is in the program.
  std::atomic<uint64_t> engine_pid;
  std::atomic<uint64_t> engine_start_time;
  std::atomic<uint64_t> without_engine;  // 1: it runs without one
  // Bytes that it may use of what the tree shares. Sequentially consistent: see Reserve.
  std::atomic<uint64_t> reserved[kSharedSpaces];
  RelaxedCounter kept_pool_bytes;  // of pool_bytes what the process cannot give up
};
static_assert(sizeof(RecordEntry) == 2 * kCacheLineSize);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// One line that the runner prints for a process, on the standard error that both share. Taken by
// an atomic exchange; the length is stored last.
struct SessionMessage {
  std::atomic<uint32_t> taken;
  std::atomic<uint32_t> length;  // release: a reader that sees it sees the text
  char text[Session::kMessageBytes];
};

struct SessionHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t layout_bytes;
  // Written by the creator before the memory is shared, then by `uzswap set`. Relaxed.
  std::atomic<uint64_t> limit_bytes;
  std::atomic<uint64_t> pool_limit_bytes;
  std::atomic<uint64_t> write_limit_bytes;
  std::atomic<uint32_t> write_period_s;
  std::atomic<uint32_t> codec;
  // What the tree is asked to use for a while; zero: nothing. Relaxed, but for the last one:
  // storing it is a release and reading it is an acquire, so who sees it increase sees what is
  // asked.
  std::atomic<uint64_t> shrink_to_bytes;
  std::atomic<uint64_t> shrink_pool_bytes;
  std::atomic<uint64_t> shrink_beat;
  // Written by the creator before the memory is shared, then constant.
  uint32_t pool;
  uint64_t backing_size_bytes;
  uint32_t encrypt;
  uint32_t engine_home;
  uint32_t dictionary_mode;
  uint32_t dictionary_bytes;
  char backing[kBackingPathMax];
  uint32_t has_runner;  // a runner prints the messages
  uint32_t has_broker;  // the address below is set
  BrokerAddress broker;

  // Records from this number on were never claimed: scans stop there.
  std::atomic<uint32_t> records_used;
  std::atomic<uint32_t> warnings_given;  // a bit per Warning
  RelaxedCounter claims;
  RelaxedCounter refused_claims;
  RelaxedCounter unmanaged;
  // Hashes of the names of unmanaged programs that were reported. Zero: free.
  std::atomic<uint64_t> unmanaged_names[Session::kUnmanagedNames];
  RelaxedCounter usage_peak;
  RelaxedCounter pool_peak;
  // Monotonic time. Zero: the processors of the machine were never contended.
  std::atomic<uint64_t> contended_until_ns;
  WearAccount wear;  // used if the bytes written by the tree are limited
  BrokerCounters broker_counters;
  SessionMessage messages[Session::kMessages];
  Statistics exited;
};

struct SessionLayout {
  alignas(kPageSize) SessionHeader header;
  // The content that every process starts with. Constant, and read by the engine only.
  alignas(kPageSize) std::byte dictionary[kDictionaryBytesMax];
  alignas(kPageSize) RecordEntry records[kProcessRecords];
  struct alignas(kCacheLineSize) PaddedStatistics {
    Statistics figures;
  } statistics[kProcessRecords];
};

}  // namespace uzswap::internal

#endif  // UZSWAP_SESSION_SESSION_LAYOUT_H_
