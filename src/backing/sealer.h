// Sealer: authenticated encryption of records with a key that only this process ever has.
//
//   | length 4 | nonce 12 | tag 16 | encrypted bytes ... |       kSealOverhead = 32
//
// ChaCha20-Poly1305 as RFC 8439 has it, from libsodium. The key is made from the system's
// random numbers when the store opens and lies in an own mapping; nobody can read the file
// once the process is gone. The nonce is a counter, so it never repeats under one key.
//
// A forked child has the same key and the same counter. It must call RenewAfterFork before it
// seals anything: it gets a key of its own and keeps the inherited one for reading. A chain of
// more than kKeysMax - 1 forks cannot go on writing (Result says so).
//
// SealInPlace: one thread at a time. Open: any thread. No allocation after Init.
#ifndef UZSWAP_BACKING_SEALER_H_
#define UZSWAP_BACKING_SEALER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "os/mapping.h"

namespace uzswap {

inline constexpr uint32_t kSealOverhead = 32;

class Sealer {
 public:
  static constexpr uint32_t kKeysMax = 16;

  Result<void> Init();
  Result<void> RenewAfterFork();

  // The first kSealOverhead bytes are room for the seal; the rest becomes unreadable.
  void SealInPlace(std::span<std::byte> record);
  // The plain bytes, in `scratch`; empty if the record is damaged or was sealed by others.
  [[nodiscard]] std::span<const std::byte> Open(std::span<const std::byte> record,
                                                std::span<std::byte> scratch) const;

 private:
  os::Mapping keys_;
  uint32_t current_ = 0;
  uint64_t counter_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_SEALER_H_
