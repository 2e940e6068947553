#include "base/parse_size.h"

namespace uzswap {
namespace {

// More digits of a fraction cannot change the result by one byte (2^40 < 10^18).
constexpr size_t kFractionDigitsMax = 18;
constexpr uint64_t kFractionDenominator = 1'000'000'000'000'000'000;

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr char ToUpper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

constexpr int ShiftOf(char unit) {
  switch (ToUpper(unit)) {
    case 'K':
      return 10;
    case 'M':
      return 20;
    case 'G':
      return 30;
    case 'T':
      return 40;
    default:
      return -1;
  }
}

constexpr bool EqualsUpper(std::string_view text, std::string_view upper) {
  if (text.size() != upper.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (ToUpper(text[i]) != upper[i]) return false;
  }
  return true;
}

// The power of two of a unit, or -1.
constexpr int ParseUnit(std::string_view unit) {
  if (unit.empty() || EqualsUpper(unit, "B")) return 0;
  const int shift = ShiftOf(unit[0]);
  const std::string_view rest = unit.substr(1);
  return rest.empty() || EqualsUpper(rest, "B") || EqualsUpper(rest, "IB") ? shift : -1;
}

static_assert(ParseUnit("") == 0 && ParseUnit("b") == 0);
static_assert(ParseUnit("k") == 10 && ParseUnit("GiB") == 30 && ParseUnit("TB") == 40);
static_assert(ParseUnit("i") == -1 && ParseUnit("MM") == -1 && ParseUnit("iB") == -1);

size_t CountDigits(std::string_view text) {
  size_t count = 0;
  while (count < text.size() && IsDigit(text[count])) ++count;
  return count;
}

// The fraction `digits` / 10^n of 2^shift, rounded down, by long division in base two.
uint64_t FractionOf(std::string_view digits, int shift) {
  uint64_t numerator = 0;
  for (size_t i = 0; i < kFractionDigitsMax; ++i) {
    const unsigned digit = i < digits.size() ? static_cast<unsigned>(digits[i] - '0') : 0;
    numerator = numerator * 10 + digit;
  }
  uint64_t result = 0;
  for (int bit = 0; bit < shift; ++bit) {
    numerator *= 2;
    const bool one = numerator >= kFractionDenominator;
    if (one) numerator -= kFractionDenominator;
    result = result << 1 | static_cast<uint64_t>(one);
  }
  return result;
}

}  // namespace

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (!IsDigit(c)) return std::nullopt;
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(c - '0'), &value)) {
      return std::nullopt;
    }
  }
  return value;
}

ParsedSize ParseSize(std::string_view text) {
  if (text.empty()) return {SizeError::kEmpty};
  if (text[0] == '-') return {SizeError::kNegative};

  const std::string_view whole = text.substr(0, CountDigits(text));
  if (whole.empty()) return {SizeError::kNotANumber};
  std::string_view rest = text.substr(whole.size());
  std::string_view fraction;
  if (!rest.empty() && rest[0] == '.') {
    fraction = rest.substr(1, CountDigits(rest.substr(1)));
    if (fraction.empty()) return {SizeError::kNotANumber};
    rest = rest.substr(1 + fraction.size());
  }
  const int shift = ParseUnit(rest);
  if (shift < 0) return {SizeError::kUnknownUnit};
  if (!fraction.empty() && shift == 0) return {SizeError::kFractionOfByte};

  const std::optional<uint64_t> units = ParseDecimal(whole);
  if (!units || *units > UINT64_MAX >> shift) return {SizeError::kTooLarge};
  // The sum cannot overflow: the fraction is less than one unit.
  const uint64_t bytes = (*units << shift) + FractionOf(fraction, shift);
  if (bytes == 0) return {SizeError::kZero};
  return {SizeError::kNone, Bytes(bytes)};
}

const char* Describe(SizeError error) {
  switch (error) {
    case SizeError::kNone:
      return "is a size";
    case SizeError::kEmpty:
      return "is empty; write a size such as 200M or 1.5G";
    case SizeError::kNegative:
      return "is negative; write a size such as 200M or 1.5G";
    case SizeError::kNotANumber:
      return "is not a size; write a number and a unit, such as 200M or 1.5G";
    case SizeError::kUnknownUnit:
      return "has an unknown unit; known are K, M, G and T (powers of 1024), as in 200M";
    case SizeError::kFractionOfByte:
      return "is a fraction of a byte; did you mean a unit, as in 1.5G?";
    case SizeError::kZero:
      return "is zero; a program cannot run without memory";
    case SizeError::kTooLarge:
      return "is too large (it does not fit in 64 bits)";
  }
  return "";
}

}  // namespace uzswap
