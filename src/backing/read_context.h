// ReadContext: a thread's buffers for reading from a BackingStore.
//
//   | window 0 | window 1 | ... | window kMany - 1 | room for one decrypted payload |
//
// The payload of a ReadResult points into the context; it is valid until the next Read or Verify.
#ifndef UZSWAP_BACKING_READ_CONTEXT_H_
#define UZSWAP_BACKING_READ_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "codec/encoding.h"
#include "os/io_port.h"
#include "os/mapping.h"

namespace uzswap {

enum class [[nodiscard]] ReadOutcome : uint8_t{kOk, kIoError, kCorrupt, kMisplaced};

class ReadContext {
 public:
  static constexpr size_t kMany = 16;

  Result<void> Init();

 private:
  friend class BackingStore;
  static constexpr size_t kWindow = 3 * os::kIoAlignment;

  [[nodiscard]] std::byte* window(size_t i) const { return memory_.data() + i * kWindow; }
  [[nodiscard]] std::byte* scratch() const { return window(kMany); }

  os::Mapping memory_;
  os::IoRead reads_[kMany];
};

struct [[nodiscard]] ReadResult {
  ReadOutcome outcome = ReadOutcome::kIoError;
  int error = 0;
  Encoding encoding;
  std::span<const std::byte> payload;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_READ_CONTEXT_H_
