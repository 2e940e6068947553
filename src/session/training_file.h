// TrainingFile: what an engine and the training process of a run exchange, in a memfd that the
// engine makes (os/memory_file.h) and the broker hands on (broker/training_starter.h).
//
//   +-------------+---------------------------------+------------------+
//   | header      | samples: at most 128 pages      | dictionary       |
//   | page 0      | written by the engine           | 16 KiB, written  |
//   |             |                                 | by the process   |
//   +-------------+---------------------------------+------------------+
//
//   word = sequence:56 | state:8, changed by ChangeTrainingState only; zero if kIdle
//
//          RequestTraining            TakeTraining              AnswerTraining
//   kIdle ────────────────> kRequested ───────────> kTraining ──────────────────> kDone
//     ^                         │                     │   └─── FailTraining ────> kFailed
//     └───── EndTraining ───────┴─────────────────────┴──── (from each of them) ─────┘
//
// The engine ends what it has waited for too long. The sequence number, the engine's choice, is
// different for each request: a process that answers late finds another word, and changes nothing.
// But it may still write to the dictionary, as may any process that was given the file.
//
// So each side checks what it takes (TakeTraining, CheckedAnswer), and copies content before it
// looks at it: Dictionary::Digest does. A dictionary with other bytes than the process made is just
// another dictionary, because its version is computed from the copy.
//
// Memory of zeroes is a file in the state kIdle. No heap, no system calls. One thread on each side.
#ifndef UZSWAP_SESSION_TRAINING_FILE_H_
#define UZSWAP_SESSION_TRAINING_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/units.h"
#include "codec/dictionary.h"

namespace uzswap {

inline constexpr uint32_t kTrainingSamplesMax = 128;
inline constexpr uint64_t kTrainingMagic = 0x316e7274'70777a75;  // "uzwptrn1" in memory
// Increment it with every change of this file.
inline constexpr uint32_t kTrainingVersion = 1;

enum class TrainingState : uint8_t { kIdle, kRequested, kTraining, kDone, kFailed };
inline constexpr int kTrainingStates = 5;

// The other side may change every field at any time: each is read once. Fields are relaxed; the
// word orders them.
struct TrainingHeader {
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> word;
  std::atomic<uint32_t> version;
  std::atomic<uint32_t> sample_pages;
  std::atomic<uint32_t> dictionary_bytes;  // kDone
  std::atomic<uint32_t>
      reused;                  // kDone: the version of a dictionary that the run had; 0: a new one
  std::atomic<int32_t> error;  // kFailed: an errno
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

struct TrainingFile {
  alignas(kPageSize) TrainingHeader header;
  alignas(kPageSize) std::byte samples[kTrainingSamplesMax * kPageSize];
  alignas(kPageSize) std::byte dictionary[kDictionaryBytesDefault];
};
inline constexpr Bytes kTrainingFileBytes(sizeof(TrainingFile));
static_assert(sizeof(TrainingFile) == (1 + kTrainingSamplesMax) * kPageSize + (16 << 10));

// The only function that changes the word, besides EndTraining. False, and nothing changed, if the
// word is not that of `from`: (sequence, from), or zero for kIdle. `sequence` has 56 bits.
// Requires: the picture has this transition, and `to` is not kIdle.
[[nodiscard]] bool ChangeTrainingState(TrainingHeader& header, uint64_t sequence,
                                       TrainingState from, TrainingState to);
[[nodiscard]] TrainingState TrainingStateOf(const TrainingHeader& header);
[[nodiscard]] uint64_t TrainingSequenceOf(const TrainingHeader& header);

// --- The engine ---

// The samples have been written. False if the state is not kIdle.
// Requires: 1 <= sample_pages <= kTrainingSamplesMax.
[[nodiscard]] bool RequestTraining(TrainingFile& file, uint64_t sequence, uint32_t sample_pages);

enum class TrainingOutcome : uint8_t {
  kPending,
  kDone,
  kFailed,
  kBroken,  // what is there was not written by a training process: end the exchange
};
struct TrainingAnswer {
  TrainingOutcome outcome = TrainingOutcome::kBroken;
  std::span<const std::byte> content;  // kDone: in the file, so copy it before you check it
  uint32_t reused = 0;                 // kDone: as the process says
  int32_t error = 0;                   // kFailed: an errno
};
[[nodiscard]] TrainingAnswer CheckedAnswer(const TrainingFile& file, uint64_t sequence);

// Back to kIdle, whatever the state is.
void EndTraining(TrainingFile& file);

// --- The training process ---

struct TrainingRequest {
  uint64_t sequence = 0;
  std::span<const std::byte> samples;  // in the file; the engine may change them
};
// Nothing if there is no request, or one of another version, or one that breaks the bounds.
[[nodiscard]] std::optional<TrainingRequest> TakeTraining(TrainingFile& file);

// Copies the content to the file. False if the engine does not wait for it any more.
// Requires: content.size() <= kDictionaryBytesDefault.
[[nodiscard]] bool AnswerTraining(TrainingFile& file, const TrainingRequest& request,
                                  std::span<const std::byte> content, uint32_t reused);
[[nodiscard]] bool FailTraining(TrainingFile& file, const TrainingRequest& request, int32_t error);

}  // namespace uzswap

#endif  // UZSWAP_SESSION_TRAINING_FILE_H_
