#include "session/training_file.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace uzswap {
namespace {

constexpr uint64_t kSequenceMax = (uint64_t{1} << 56) - 1;
constexpr int32_t kErrnoMax = 4095;

uint64_t WordOf(uint64_t sequence, TrainingState state) {
  if (state == TrainingState::kIdle) return 0;
  return sequence << 8 | static_cast<uint64_t>(state);
}
TrainingState StateIn(uint64_t word) { return static_cast<TrainingState>(word & 0xff); }

bool IsAllowed(TrainingState from, TrainingState to) {
  switch (to) {
    case TrainingState::kIdle:
      return false;  // EndTraining
    case TrainingState::kRequested:
      return from == TrainingState::kIdle;
    case TrainingState::kTraining:
      return from == TrainingState::kRequested;
    case TrainingState::kDone:
    case TrainingState::kFailed:
      return from == TrainingState::kTraining;
  }
  return false;
}

template <typename T>
T Read(const std::atomic<T>& field) {
  return field.load(std::memory_order_relaxed);
}
template <typename T>
void Write(std::atomic<T>& field, T value) {
  field.store(value, std::memory_order_relaxed);
}

bool IsDictionarySize(uint32_t bytes) {
  return bytes >= kDictionaryBytesMin && bytes <= sizeof(TrainingFile::dictionary);
}

}  // namespace

bool ChangeTrainingState(TrainingHeader& header, uint64_t sequence, TrainingState from,
                         TrainingState to) {
  UZ_CHECK(IsAllowed(from, to));
  UZ_CHECK_LE(sequence, kSequenceMax);
  uint64_t expected = WordOf(sequence, from);
  // Release: who sees the new word sees the fields and bytes that were written before. Acquire: who
  // changes the word has seen those of the former one.
  return header.word.compare_exchange_strong(expected, WordOf(sequence, to),
                                             std::memory_order_acq_rel, std::memory_order_acquire);
}

TrainingState TrainingStateOf(const TrainingHeader& header) {
  return StateIn(header.word.load(std::memory_order_acquire));
}

uint64_t TrainingSequenceOf(const TrainingHeader& header) {
  return header.word.load(std::memory_order_acquire) >> 8;
}

bool RequestTraining(TrainingFile& file, uint64_t sequence, uint32_t sample_pages) {
  UZ_CHECK(sample_pages >= 1 && sample_pages <= kTrainingSamplesMax);
  TrainingHeader& header = file.header;
  if (header.word.load(std::memory_order_acquire) != 0) return false;
  Write(header.magic, kTrainingMagic);
  Write(header.version, kTrainingVersion);
  Write(header.sample_pages, sample_pages);
  Write(header.dictionary_bytes, uint32_t{0});
  Write(header.reused, uint32_t{0});
  Write(header.error, int32_t{0});
  return ChangeTrainingState(header, sequence, TrainingState::kIdle, TrainingState::kRequested);
}

TrainingAnswer CheckedAnswer(const TrainingFile& file, uint64_t sequence) {
  const uint64_t word = file.header.word.load(std::memory_order_acquire);
  TrainingAnswer answer;
  if (word >> 8 != sequence) return answer;
  switch (StateIn(word)) {
    case TrainingState::kRequested:
    case TrainingState::kTraining:
      answer.outcome = TrainingOutcome::kPending;
      break;
    case TrainingState::kDone: {
      const uint32_t bytes = Read(file.header.dictionary_bytes);
      const uint32_t reused = Read(file.header.reused);
      if (!IsDictionarySize(bytes) || reused >> kDictionaryVersionBits != 0) break;
      answer.outcome = TrainingOutcome::kDone;
      answer.content = std::span(file.dictionary).first(bytes);
      answer.reused = reused;
      break;
    }
    case TrainingState::kFailed: {
      const int32_t error = Read(file.header.error);
      if (error < 1 || error > kErrnoMax) break;
      answer.outcome = TrainingOutcome::kFailed;
      answer.error = error;
      break;
    }
    case TrainingState::kIdle:
      break;
  }
  return answer;
}

void EndTraining(TrainingFile& file) {
  // The other side may have written any word, so this is no transition from a known one.
  file.header.word.store(0, std::memory_order_release);
}

std::optional<TrainingRequest> TakeTraining(TrainingFile& file) {
  TrainingHeader& header = file.header;
  const uint64_t word = header.word.load(std::memory_order_acquire);
  if (StateIn(word) != TrainingState::kRequested) return std::nullopt;
  if (Read(header.magic) != kTrainingMagic || Read(header.version) != kTrainingVersion) {
    return std::nullopt;
  }
  const uint32_t pages = Read(header.sample_pages);
  TrainingRequest request;
  request.sequence = word >> 8;
  if (pages < 1 || pages > kTrainingSamplesMax) return std::nullopt;
  request.samples = std::span(file.samples).first(pages * kPageSize);
  const bool taken = ChangeTrainingState(header, request.sequence, TrainingState::kRequested,
                                         TrainingState::kTraining);
  return taken ? std::optional(request) : std::nullopt;
}

bool AnswerTraining(TrainingFile& file, const TrainingRequest& request,
                    std::span<const std::byte> content, uint32_t reused) {
  UZ_CHECK_LE(content.size(), sizeof(file.dictionary));
  // Not into a file of a later request; one that begins now gets bytes that it does not look at.
  if (file.header.word.load(std::memory_order_acquire) !=
      WordOf(request.sequence, TrainingState::kTraining)) {
    return false;
  }
  memcpy(file.dictionary, content.data(), content.size());
  Write(file.header.dictionary_bytes, static_cast<uint32_t>(content.size()));
  Write(file.header.reused, reused);
  return ChangeTrainingState(file.header, request.sequence, TrainingState::kTraining,
                             TrainingState::kDone);
}

bool FailTraining(TrainingFile& file, const TrainingRequest& request, int32_t error) {
  Write(file.header.error, std::clamp(error, 1, kErrnoMax));
  return ChangeTrainingState(file.header, request.sequence, TrainingState::kTraining,
                             TrainingState::kFailed);
}

}  // namespace uzswap
