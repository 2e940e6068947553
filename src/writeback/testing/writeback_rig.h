// For the tests of writeback: a cache with its writer, and pages that all take room in the pool.
#ifndef UZSWAP_WRITEBACK_TESTING_WRITEBACK_RIG_H_
#define UZSWAP_WRITEBACK_TESTING_WRITEBACK_RIG_H_

#include "cache/testing/cache_fixture.h"
#include "writeback/writeback.h"

namespace uzswap {

class WritebackRig : public CacheFixture {
 public:
  explicit WritebackRig(const FixtureOptions& options = {}, WritebackOptions wishes = {},
                        bool with_store = true)
      : CacheFixture(options) {
    UZ_CHECK(writeback.Init(cache, context, with_store ? &store : nullptr, wishes).ok());
  }
  ~WritebackRig() {
    port.Heal();
    port.Release();
    writeback.Drain();
  }
  // Compressible pages of many kinds, none same-filled.
  static uint64_t VersionOf(uint64_t offset) {
    constexpr uint64_t kKinds[] = {2, 3, 5, 6};
    return offset * kPageKinds + kKinds[offset % 4];
  }
  void Fill(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      UZ_CHECK(Put(i, VersionOf(i)) == StoreOutcome::kStored);
    }
  }
  uint64_t CountReadable(uint64_t count) {
    uint64_t readable = 0;
    for (uint64_t i = 0; i < count; ++i) readable += Is(i, VersionOf(i)) ? 1 : 0;
    return readable;
  }

  Writeback writeback;
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_TESTING_WRITEBACK_RIG_H_
