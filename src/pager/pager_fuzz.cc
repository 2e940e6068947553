// Histories of the pager from arbitrary bytes: five for an operation.
#include <cstring>

#include "pager/testing/pager_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kBytes = 5;
  constexpr size_t kOpsMax = 200;
  uzswap::PagerHistory history;
  for (size_t at = 0; at + kBytes <= size && at < kBytes * kOpsMax; at += kBytes) {
    uzswap::PagerOp op;
    op.kind = static_cast<uzswap::PagerOpKind>(data[at] % uzswap::kPagerOpKinds);
    memcpy(&op.a, data + at + 1, 2);
    memcpy(&op.b, data + at + 3, 2);
    history.Perform(op);
  }
  UZ_CHECK(history.Check());
  UZ_CHECK(history.Finish());
  return 0;
}
