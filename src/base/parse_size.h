// ParseSize: converts "200M" to bytes. The command line and the library both use it.
//
//     200M   200MiB   200mib   200MB   1.5G   4096   64KiB   2T        units are binary
//
//     number [ "." digits ] [ K | M | G | T [ "iB" | "B" ] | "B" ]
//
// No blanks, no sign, no exponent. A fraction needs a unit. The result is rounded down to whole
// bytes. Each kind of wrong text has its own SizeError, so that the message can say how to fix it.
// Reads only its argument (no locale, no errno). Any thread may call it.
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
  kZero,            // also when a fraction rounds down to zero
  kTooLarge,        // does not fit in 64 bits
};

struct [[nodiscard]] ParsedSize {
  SizeError error = SizeError::kNone;
  Bytes bytes{};

  [[nodiscard]] constexpr bool ok() const { return error == SizeError::kNone; }
};

ParsedSize ParseSize(std::string_view text);

// What is wrong, as the end of a sentence: "'12Q' " + "has an unknown unit ...".
const char* Describe(SizeError error);

// Converts digits to a number, for /proc and for paths. Returns nothing if the text is empty or has
// any other character, or if the number does not fit in 64 bits.
std::optional<uint64_t> ParseDecimal(std::string_view text);

}  // namespace uzswap

#endif  // UZSWAP_BASE_PARSE_SIZE_H_
