// A pager over the real kernel, in this process, where the two meet most closely: pages are
// isolated while a thread writes to them for the first time. Linux 6.18 then moves pages and does
// not report it (docs/decisions/0007-moves-are-recounted.md), in about one round of a hundred.
#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <thread>

#include "base/rng.h"
#include "base/testing/slowness.h"
#include "base/testing/wait_until.h"
#include "codec/codec.h"
#include "frame/frame_arena.h"
#include "os/linux_user_fault.h"
#include "pager/testing/pager_world.h"
#include "pool/zbud_pool.h"

namespace uzswap {
namespace {

constexpr uint64_t kPages = 64;
constexpr uint64_t kRounds = 800;
constexpr uint32_t kSlots = 1 << 12;

// A pager with everything below it, and its thread.
class RealPager {
 public:
  // Why there cannot be one here; nullptr if there is.
  const char* Start() {
    if (!port_.Open(os::LinuxUserFault::Events::kAll).ok() ||
        !release_port_.Open(os::LinuxUserFault::Events::kNone).ok()) {
      return "userfaultfd with UFFDIO_MOVE (Linux 6.8) is not to be had";
    }
    if (!space_.Open().ok()) return "PAGEMAP_SCAN (Linux 6.7) is not to be had";
    UZ_CHECK(arena_.Init({.capacity = PageCount(256)}).ok());
    UZ_CHECK(pool_.Init({.arena = &arena_}).ok());
    CacheOptions wishes;
    wishes.codec = CodecByName("lz4");
    wishes.dictionaries = &dictionaries_;
    wishes.object_max = PageStore::kObjectMax;
    wishes.index = {.areas_max = 2, .nodes_max = 16, .leaves_max = kSlots / EntryLeaf::kWords};
    UZ_CHECK(cache_.Init(pool_, wishes).ok());
    UZ_CHECK(store_.Init(&cache_, &arena_, kSlots).ok());
    UZ_CHECK(context_.Init(cache_).ok());
    headroom_.Set(1 << 20);
    UZ_CHECK(pager_.Init(MakeParts()).ok());
    server_ = std::thread([this] {
      while (!stop_.load(std::memory_order_relaxed)) pager_.ServeOnce(10);
    });
    return nullptr;
  }
  void Stop() {
    if (!server_.joinable()) return;
    stop_.store(true, std::memory_order_relaxed);
    server_.join();
    store_.Close(context_);
    // Otherwise the munmap of the frames would wait for a reader of its event.
    port_.Close();
    release_port_.Close();
  }

  Pager& pager() { return pager_; }

  Statistics statistics;

 private:
  Pager::Parts MakeParts() {
    Pager::Parts parts;
    parts.port = &port_;
    parts.release_port = &release_port_;
    parts.address_space = &space_;
    parts.store = &store_;
    parts.statistics = &statistics;
    parts.headroom = &headroom_;
    parts.watermarks.frames = PageCount(4 * kPages);
    parts.wake_daemon = [](void*) {};
    return parts;
  }

  os::LinuxUserFault port_;
  os::LinuxUserFault release_port_;
  os::LinuxAddressSpace space_;
  FrameArena arena_;
  ZbudPool pool_;
  DictionarySet dictionaries_;
  CompressedCache cache_;
  PageStore store_;
  CacheContext context_;
  Headroom headroom_;
  Pager pager_;
  std::atomic<bool> stop_{false};
  std::thread server_;
};

uint64_t Value(uint64_t round, uint64_t page) { return round * 1000 + page + 1; }

// The program: in each round it reads all pages (downwards, so that nothing is read ahead and each
// is the zero page), writes to each when it is allowed to, and checks all of them. Counts what was
// wrong.
class Program {
 public:
  explicit Program(volatile uint64_t* memory) : memory_(memory), thread_([this] { Run(); }) {}
  ~Program() { thread_.join(); }

  // Both come from the test's thread.
  void AwaitRead(uint64_t round) { Await(read_, round); }
  void LetWrite(uint64_t round) { write_.store(round); }
  void AwaitChecked(uint64_t round) { Await(checked_, round); }
  [[nodiscard]] uint64_t wrong() const { return wrong_; }

 private:
  static void Await(const std::atomic<uint64_t>& word, uint64_t value) {
    const bool reached = WaitUntil([&] { return word.load() >= value; });
    if (!reached) Panic(__FILE__, __LINE__, "the program does not end its part of the round");
  }
  // Stays awake, so that the program writes at the moment it is let.
  void SpinUntilLet(uint64_t round) const {
    const uint64_t deadline_ns = os::MonotonicNanoseconds() + Slower(UINT64_C(30) * 1'000'000'000);
    while (write_.load() < round) {
      if (os::MonotonicNanoseconds() < deadline_ns) continue;
      Panic(__FILE__, __LINE__, "the test does not let the program write");
    }
  }
  volatile uint64_t& WordOf(uint64_t page) { return memory_[page * (kPageSize / 8)]; }

  void Run() {
    for (uint64_t round = 1; round <= kRounds; ++round) {
      for (uint64_t page = kPages; page-- > 0;) wrong_ += WordOf(page) == 0 ? 0 : 1;
      read_.store(round);
      SpinUntilLet(round);
      for (uint64_t page = 0; page < kPages; ++page) WordOf(page) = Value(round, page);
      for (uint64_t page = 0; page < kPages; ++page) {
        wrong_ += WordOf(page) == Value(round, page) ? 0 : 1;
      }
      void* start = const_cast<uint64_t*>(memory_);
      UZ_CHECK_EQ(madvise(start, kPages << kPageShift, MADV_DONTNEED), 0);
      checked_.store(round);
    }
  }

  volatile uint64_t* memory_;
  std::atomic<uint64_t> read_{0};
  std::atomic<uint64_t> write_{0};
  std::atomic<uint64_t> checked_{0};
  uint64_t wrong_ = 0;
  std::thread thread_;
};

TEST(PagerKernel, PagesIsolatedAtTheirFirstWriteAreAllPresent) {
  RealPager real;
  if (const char* reason = real.Start()) GTEST_SKIP() << reason;
  void* memory = mmap(nullptr, kPages << kPageShift, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  // A mapping of its own, with nothing to merge with.
  ASSERT_EQ(madvise(memory, kPages << kPageShift, MADV_DONTFORK), 0);
  const auto start = reinterpret_cast<uint64_t>(memory);
  ASSERT_TRUE(real.pager().Adopt({start, start + (kPages << kPageShift)}));
  Rng rng(20130214);
  {
    Program program(static_cast<uint64_t*>(memory));
    for (uint64_t round = 1; round <= kRounds; ++round) {
      program.AwaitRead(round);
      for (uint64_t page = kPages; page-- > 0;) {
        PagerTestPeer::AimAt(real.pager(), start + (page << kPageShift));
      }
      program.LetWrite(round);
      for (uint64_t spin = rng.Below(100); spin > 0; --spin) __asm__ volatile("pause");
      real.pager().Isolate(kPages);
      program.AwaitChecked(round);
      real.pager().ReleaseFrames(kPages);
    }
    EXPECT_EQ(program.wrong(), 0u);
  }
  printf("%llu pages isolated, %llu of them not reported\n",
         static_cast<unsigned long long>(real.statistics.pages_taken.Get()),
         static_cast<unsigned long long>(real.statistics.unreported_moves.Get()));
  // The pager's thread reads the event.
  EXPECT_EQ(munmap(memory, kPages << kPageShift), 0);
  real.pager().Audit();
  EXPECT_EQ(real.pager().TakeSnapshot().staged, 0u);
  real.Stop();
}

}  // namespace
}  // namespace uzswap
