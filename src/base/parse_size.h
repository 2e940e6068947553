// ParseSize: "200M" to bytes, the same on the command line and inside the program.
//
//     200M   200MiB   200mib   200MB   1.5G   4096   64KiB   2T        units are binary
//
//     number [ "." digits ] [ K | M | G | T [ "iB" | "B" ] | "B" ]
//
// No blanks, no sign, no exponent. A fraction needs a unit and is rounded down to whole
// bytes. What is refused is refused by name, so that the message can say how to mend it.
// Reads nothing but its argument (no locale, no errno); any thread may call it.
#ifndef UZSWAP_BASE_PARSE_SIZE_H_
#define UZSWAP_BASE_PARSE_SIZE_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace uzswap {

enum class SizeError : uint8_t {
  kNone,
  kEmpty,
  kNegative,
  kNotANumber,
  kUnknownUnit,
  kFractionOfByte,  // "1.5" without a unit
  kZero,            // also when a fraction rounds down to nothing
  kTooLarge,        // does not fit 64 bits
};

struct [[nodiscard]] ParsedSize {
  SizeError error = SizeError::kNone;
  Bytes bytes{};

  [[nodiscard]] constexpr bool ok() const { return error == SizeError::kNone; }
};

ParsedSize ParseSize(std::string_view text);

// Why a size was refused, as the end of a sentence: "'12Q' " + "has an unknown unit ...".
const char* Describe(SizeError error);

// Digits only, nothing else: for numbers in /proc and in paths. Nothing when empty, when any
// other character is met, or when the number does not fit.
std::optional<uint64_t> ParseDecimal(std::string_view text);

}  // namespace uzswap

#endif  // UZSWAP_BASE_PARSE_SIZE_H_
