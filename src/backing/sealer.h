// Sealer: authenticated encryption of records with a key that only this process has.
//
//   | length 4 | nonce 12 | tag 16 | encrypted bytes ... |       kSealOverhead = 32
//
// ChaCha20-Poly1305 (RFC 8439) from libsodium. The key is made from the system's random numbers
// when the store opens and is kept in a mapping of its own, which is locked. When the process has
// ended, the file cannot be decrypted. The nonce is a counter, so it never repeats under one key.
//
// A forked child has the same key and the same counter, so it may only open with it: if it sealed
// too, a nonce would repeat. For its own file it has a sealer of its own
// (BackingStore::BecomeWriter).
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
  Result<void> Init();

  // Encrypts all but the first kSealOverhead bytes, which are room for length, nonce and tag.
  void SealInPlace(std::span<std::byte> record);
  // The decrypted bytes, in `scratch`; empty if the record is damaged or has another key.
  [[nodiscard]] std::span<const std::byte> Open(std::span<const std::byte> record,
                                                std::span<std::byte> scratch) const;

 private:
  os::Mapping key_;
  uint64_t counter_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_SEALER_H_
