// For the tests of writeback: a cache with its writer, and pages that all take room in the pool.
//
// WriterThread runs Writeback::Run until Join, or until it goes out of scope.
#ifndef UZSWAP_WRITEBACK_TESTING_WRITEBACK_RIG_H_
#define UZSWAP_WRITEBACK_TESTING_WRITEBACK_RIG_H_

#include <thread>

#include "base/testing/wait_until.h"
#include "cache/testing/cache_fixture.h"
#include "writeback/testing/writeback_peer.h"
#include "writeback/writeback.h"

namespace uzswap {

class WritebackRig : public CacheFixture {
 public:
  explicit WritebackRig(const FixtureOptions& options = {}, WritebackOptions writing = {},
                        bool with_store = true)
      : CacheFixture(options) {
    UZ_CHECK(writeback.Init(cache, context, with_store ? &store : nullptr, writing).ok());
  }
  ~WritebackRig() {
    port.Heal();
    port.Release();
    writeback.WaitForWrites();
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

  // Stores a page beside the writer's thread, again and again while it is refused. False if it
  // is still refused at the deadline.
  bool StoreWhenAccepted(uint64_t offset) {
    const TestPage page = PageOf(VersionOf(offset));
    return WaitUntil(
        [&] { return cache.Store(other, At(offset), page.view()) == StoreOutcome::kStored; });
  }

  Writeback writeback;
};

class WriterThread {
 public:
  explicit WriterThread(Writeback& writeback)
      : writeback_(writeback), thread_([this] { writeback_.Run([] { return uint64_t{0}; }); }) {}
  ~WriterThread() { Join(); }
  WriterThread(const WriterThread&) = delete;
  WriterThread& operator=(const WriterThread&) = delete;

  void Join() {
    if (!thread_.joinable()) return;
    writeback_.Stop();
    thread_.join();
  }

 private:
  Writeback& writeback_;
  std::thread thread_;
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_TESTING_WRITEBACK_RIG_H_
