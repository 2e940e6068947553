// Reads the input as a sequence of operations on a pool, and checks them against the model. The
// first byte selects the pool and the kind of frames. Each operation uses nine bytes.
#include <cstdint>
#include <cstring>

#include "pool/testing/pool_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using uzswap::Operation;
  if (size == 0) return 0;
  const uzswap::PoolVariant variant = uzswap::kAllPoolVariants[data[0] % 4];
  const auto access =
      (data[0] & 4) != 0 ? uzswap::FrameAccess::kWhilePinned : uzswap::FrameAccess::kAlways;
  uzswap::PoolModel model(variant, access);
  for (size_t at = 1; at + 9 <= size; at += 9) {
    Operation operation;
    operation.kind = static_cast<Operation::Kind>(data[at] % Operation::kKinds);
    std::memcpy(&operation.a, data + at + 1, 4);
    std::memcpy(&operation.b, data + at + 5, 4);
    model.Perform(operation);
  }
  model.CheckEverything();
  return 0;
}
