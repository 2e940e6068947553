// The environment variable UZSWAP_BROKER: where the broker listens, for a process that cannot open
// the session's memory, because it has another user or another root directory.
//
//   UZSWAP_BROKER=name:proof        64 and 128 bits, as hexadecimal digits of fixed width
//
// It has no token: the environment is no secret. The broker gives the session to descendants of the
// runner only (broker/request_handler.h). The proof is for the process: it tells the broker from
// another user's process that took the address over.
//
// Plain functions; any thread.
#ifndef UZSWAP_SESSION_BROKER_VARIABLE_H_
#define UZSWAP_SESSION_BROKER_VARIABLE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "os/text_line.h"
#include "session/broker_record.h"

namespace uzswap {

inline constexpr size_t kBrokerWordDigits = 16;

using BrokerText = os::TextLine<3 * kBrokerWordDigits + 2>;

inline BrokerText ToBrokerVariable(const BrokerAddress& address) {
  BrokerText text;
  const auto put = [&text](uint64_t word) {
    for (size_t i = kBrokerWordDigits; i > 0; --i) text.Hexadecimal(word >> (4 * (i - 1)) & 0xf);
  };
  put(address.name);
  text.Text(":");
  put(address.proof.words[0]);
  put(address.proof.words[1]);
  return text;
}

// Nothing if the text has another format. The token is zero.
inline std::optional<BrokerAddress> FromBrokerVariable(std::string_view text) {
  if (text.size() != 3 * kBrokerWordDigits + 1 || text[kBrokerWordDigits] != ':') return {};
  bool good = true;
  const auto word = [&](size_t at) {
    uint64_t value = 0;
    for (const char c : text.substr(at, kBrokerWordDigits)) {
      const bool digit = c >= '0' && c <= '9';
      good = good && (digit || (c >= 'a' && c <= 'f'));
      value = value << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
    }
    return value;
  };
  BrokerAddress address;
  address.name = word(0);
  address.proof.words[0] = word(kBrokerWordDigits + 1);
  address.proof.words[1] = word(2 * kBrokerWordDigits + 1);
  if (!good) return {};
  return address;
}

}  // namespace uzswap

#endif  // UZSWAP_SESSION_BROKER_VARIABLE_H_
