// Real threads over the fake kernel, for the thread sanitizer: one serves, one adopts, isolates,
// compresses and releases, one writes back, and two are the program, which knows what every byte of
// its pages must be. Bounded by the number of operations, never by time.
#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "pager/testing/pager_world.h"

namespace uzswap {
namespace {

constexpr uint64_t kPages = 24;  // of each program thread

uint64_t Operations() { return FromEnvironment("UZSWAP_TEST_OPS", 2000); }

// A program thread owns pages nobody else touches: their content is known at every moment.
class Program {
 public:
  Program(PagerWorld& world, uint32_t number)
      : world_(world), number_(number), place_(number * 1000), rng_(number) {}

  void Run() {
    world_.fake.Map(PagerWorld::At(place_), kPages << kPageShift);
    for (uint64_t i = 0; i < Operations(); ++i) Step();
    for (uint64_t page = 0; page < kPages; ++page) Compare(page);
    world_.fake.FinishBlocking(
        world_.fake.BeginUnmap(PagerWorld::At(place_), kPages << kPageShift));
  }
  [[nodiscard]] uint64_t wrong() const { return wrong_; }

 private:
  using Page = PagerWorld::Page;

  uint64_t At(uint64_t page) const { return PagerWorld::At(place_ + page); }

  void Step() {
    const uint64_t page = rng_.Below(kPages);
    switch (rng_.Below(8)) {
      case 0:
      case 1:
      case 2:
        return Compare(page);
      case 3:
      case 4: {
        FillPageOf(static_cast<PageKind>(rng_.Below(kPageKinds)), rng_.Next(), content_[page]);
        world_.fake.StoreBlocking(number_, At(page), content_[page]);
        return;
      }
      case 5: {
        const auto value = static_cast<std::byte>(rng_.Next());
        content_[page][7] = value;
        world_.fake.StoreBlocking(number_, At(page) + 7, {&value, 1});
        return;
      }
      case 6: {
        const uint64_t count = 1 + rng_.Below(kPages - page);
        for (uint64_t i = 0; i < count; ++i) content_[page + i].fill(std::byte{0});
        // Mappings may have borders where adoption ended: one call a page keeps within them.
        for (uint64_t i = 0; i < count; ++i) {
          world_.fake.FinishBlocking(world_.fake.BeginDiscard(At(page + i), kPageSize));
        }
        return;
      }
      default: {
        const uint64_t target = number_ * 1000 + (place_ % 1000 == 0 ? 100 : 0);
        const auto change = world_.fake.BeginRemap(At(0), kPages << kPageShift,
                                                   kPages << kPageShift, PagerWorld::At(target));
        place_ = target;
        world_.fake.FinishBlocking(change);
        return;
      }
    }
  }
  void Compare(uint64_t page) {
    Page seen;
    world_.fake.LoadBlocking(number_, At(page), seen);
    wrong_ += seen == content_[page] ? 0 : 1;
  }

  PagerWorld& world_;
  uint32_t number_;
  uint64_t place_;
  Rng rng_;
  std::array<Page, kPages> content_{};
  uint64_t wrong_ = 0;
};

class PagerStress : public testing::TestWithParam<uint64_t> {};

TEST_P(PagerStress, ProgramPagerDaemonAndWriterRunSideBySide) {
  PagerWorld world(
      {.frames = 32, .pool_frames = 64, .headroom = 8, .overdraft = 4, .device_bytes = GetParam()});
  std::atomic<bool> stop{false};
  std::thread server([&] {
    while (!stop) world.pager.ServeOnce(-1);
  });
  std::thread daemon([&] {
    Rng rng(3);
    while (!stop) {
      for (const uint64_t place : {1000, 1100, 2000, 2100}) {
        world.pager.Adopt({PagerWorld::At(place), PagerWorld::At(place + kPages)});
      }
      world.pager.Isolate(8);
      world.pager.StoreOldest(world.context, 1 + rng.Below(16));
      world.pager.ReleaseFrames(16);
      world.headroom.Set(static_cast<int64_t>(rng.Below(32)) - 16);
      world.pager.Audit();
    }
  });
  std::thread writer([&] {
    while (!stop) {
      for (int i = 0; i < 6 && GetParam() > 0; ++i) static_cast<void>(world.writeback.Step());
      world.writeback.WaitForWrites();
      std::this_thread::yield();
    }
  });
  Program first(world, 1);
  Program second(world, 2);
  std::thread first_thread([&] { first.Run(); });
  std::thread second_thread([&] { second.Run(); });
  first_thread.join();
  second_thread.join();
  stop = true;
  world.fake.Interrupt();
  server.join();
  daemon.join();
  writer.join();
  EXPECT_EQ(first.wrong(), 0u);
  EXPECT_EQ(second.wrong(), 0u);
  EXPECT_TRUE(world.UnmapEverything()) << world.failure();
}

INSTANTIATE_TEST_SUITE_P(WithoutAndWithDevice, PagerStress, testing::Values(0, 4 << 20));

}  // namespace
}  // namespace uzswap
