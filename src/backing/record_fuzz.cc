// Arbitrary bytes as a segment: walking the records ends, stays inside, and never invents one
// that was not written (a forged checksum would have to be guessed).
#include <cstring>

#include "backing/record.h"

namespace {

uzswap::Sealer& TheSealer() {
  static uzswap::Sealer sealer;
  static const bool ready = sealer.Init().ok();
  UZ_CHECK(ready);
  return sealer;
}

std::byte g_scratch[uzswap::kRecordBytesMax];

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  for (const uzswap::Sealer* sealer : {static_cast<const uzswap::Sealer*>(nullptr),
                                       static_cast<const uzswap::Sealer*>(&TheSealer())}) {
    for (size_t at = 0; at < bytes.size();) {
      const uzswap::RecordView view = uzswap::ReadRecord(bytes.subspan(at), sealer, g_scratch);
      if (view.outcome != uzswap::RecordOutcome::kOk) break;
      UZ_CHECK(sealer == nullptr && !view.payload.empty());
      at += view.bytes;
    }
  }
  return 0;
}
