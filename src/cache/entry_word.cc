#include "cache/entry_word.h"

namespace uzswap {
namespace {

constexpr int kFormShift = 56;
constexpr uint64_t kValueMask = (uint64_t{1} << kFormShift) - 1;

enum class Form : uint64_t {
  kSigned = 0,    // 56 bits, sign-extended: small numbers of either sign
  kRepeated = 1,  // 32 bits, twice: repeated bytes, or units of two or four bytes
};

constexpr uint8_t Bit(EntryKind kind) { return static_cast<uint8_t>(1 << static_cast<int>(kind)); }

constexpr uint8_t kEmpty = Bit(EntryKind::kEmpty);
constexpr uint8_t kSame = Bit(EntryKind::kSameFilled);
constexpr uint8_t kPooled = Bit(EntryKind::kPooled);
constexpr uint8_t kWriting = Bit(EntryKind::kWriting);
constexpr uint8_t kOnDisk = Bit(EntryKind::kOnDisk);
constexpr uint8_t kContent = kSame | kPooled | kWriting | kOnDisk;

struct Rule {
  uint8_t from;
  uint8_t to;
};

constexpr Rule RuleOf(EntryEvent event) {
  switch (event) {
    case EntryEvent::kStore:
      return {kEmpty | kContent, kEmpty | kSame | kPooled};
    case EntryEvent::kTake:
    case EntryEvent::kInvalidate:
      return {kContent, kEmpty};
    case EntryEvent::kDrop:
      return {kPooled, kEmpty};
    case EntryEvent::kTouch:
      return {kPooled | kWriting, kPooled};
    case EntryEvent::kAge:
      return {kPooled, kPooled};
    case EntryEvent::kBeginWrite:
      return {kPooled, kWriting};
    case EntryEvent::kWritten:
      return {kWriting, kOnDisk};
    case EntryEvent::kWriteFailed:
      return {kWriting, kPooled};
    case EntryEvent::kRelocate:
      return {kOnDisk, kOnDisk};
    case EntryEvent::kRecompress:
      return {kPooled, kPooled};
  }
  return {0, 0};
}

}  // namespace

std::optional<EntryWord> EntryWord::SameFilled(uint64_t pattern) {
  const auto sign_extended = static_cast<uint64_t>(static_cast<int64_t>(pattern << 8) >> 8);
  const uint64_t kind = uint64_t{static_cast<uint8_t>(EntryKind::kSameFilled)} << kKindShift;
  if (sign_extended == pattern) {
    return FromRaw(kind | static_cast<uint64_t>(Form::kSigned) << kFormShift |
                   (pattern & kValueMask));
  }
  if (pattern >> 32 == (pattern & UINT32_MAX)) {
    return FromRaw(kind | static_cast<uint64_t>(Form::kRepeated) << kFormShift | pattern >> 32);
  }
  return std::nullopt;
}

uint64_t EntryWord::pattern() const {
  const uint64_t value = raw_ & kValueMask;
  if (static_cast<Form>(raw_ >> kFormShift & 0xf) == Form::kRepeated) return value << 32 | value;
  return static_cast<uint64_t>(static_cast<int64_t>(value << 8) >> 8);
}

void Transition(EntryWord& word, EntryEvent event, EntryWord to) {
  const Rule rule = RuleOf(event);
  UZ_CHECK((rule.from & Bit(word.kind())) != 0);
  UZ_CHECK((rule.to & Bit(to.kind())) != 0);
  word = to;
}

}  // namespace uzswap
