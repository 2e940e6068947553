// For the tests of the storage stack: pages that are known by their number, a stack with a thread's
// context, the writer's thread, and a forked child.
#ifndef UZSWAP_SWAP_TESTING_STORAGE_RIG_H_
#define UZSWAP_SWAP_TESTING_STORAGE_RIG_H_

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <iterator>
#include <thread>
#include <vector>

#include "base/testing/page_corpus.h"
#include "base/testing/slowness.h"
#include "os/thread.h"
#include "swap/storage_stack.h"

namespace uzswap {

inline constexpr Bytes kMemory{uint64_t{8} << 20};
inline const unsigned kDeadlineMs = Slower(60'000u);

struct Page {
  alignas(8) std::array<std::byte, kPageSize> bytes;
  friend bool operator==(const Page&, const Page&) = default;
};

// Pages of every kind, known by their number.
inline Page PageOf(uint64_t number) {
  Page page;
  FillPageOf(static_cast<PageKind>(number % kPageKinds), number, page.bytes);
  return page;
}
// Only those that a codec makes smaller.
inline Page CompressiblePageOf(uint64_t number) {
  constexpr PageKind kKinds[] = {PageKind::kText, PageKind::kPointers, PageKind::kMostlyZero,
                                 PageKind::kMixed};
  Page page;
  FillPageOf(kKinds[number % std::size(kKinds)], number, page.bytes);
  return page;
}
inline Page RandomPage(uint64_t number) {
  Page page;
  FillPageOf(PageKind::kRandom, number, page.bytes);
  return page;
}

// A stack, a context for this thread, and the pages that are stored.
class Rig {
 public:
  explicit Rig(const StorageOptions& options) {
    const Result<void> done = stack.Init(options);
    UZ_CHECK(done.ok());
    UZ_CHECK(context.Init(stack.cache()).ok());
  }
  ~Rig() { stack.Close(context); }

  StoredPage Store(const Page& page) { return stack.store().Store(context, page.bytes); }
  LoadedPage Load(SwapSlot slot, Page& page, LoadFrom from = LoadFrom::kAnywhere) {
    return stack.store().Load(context, slot, page.bytes, from);
  }
  void Free(SwapSlot slot) { stack.store().Free(context, slot); }
  bool Holds(SwapSlot slot, const Page& expected) {
    Page page;
    page.bytes.fill(std::byte{0xee});
    return Load(slot, page) == LoadedPage::kLoaded && page == expected;
  }
  // Stores compressible pages until `count` are stored. Requires: there is room.
  std::vector<SwapSlot> Fill(uint64_t count) {
    std::vector<SwapSlot> slots;
    for (uint64_t i = 0; i < count; ++i) {
      const StoredPage stored = Store(CompressiblePageOf(i));
      UZ_CHECK(stored.as == StoredAs::kSlot);
      slots.push_back(stored.slot);
    }
    return slots;
  }
  uint64_t CountReadable(const std::vector<SwapSlot>& slots) {
    uint64_t readable = 0;
    for (uint64_t i = 0; i < slots.size(); ++i) {
      readable += Holds(slots[i], CompressiblePageOf(i)) ? 1 : 0;
    }
    return readable;
  }
  // One turn of the writer may leave the last unit behind; the next turn takes it.
  bool EmptyPool() {
    for (int turn = 0; turn < 3; ++turn) {
      if (stack.writeback().Shrink(0)) return true;
    }
    return false;
  }
  uint64_t PagesOnDisk() {
    CacheCounters sum;
    stack.cache().Count(sum);
    return sum.disk_in.Get() - sum.disk_out.Get();
  }
  // Requires: a thread is in writeback().Run, and was asked to shrink.
  void AwaitPagesOnDisk(uint64_t count) {
    const uint64_t deadline = os::MonotonicNanoseconds() + kDeadlineMs * uint64_t{1'000'000};
    while (PagesOnDisk() < count) {
      ASSERT_LT(os::MonotonicNanoseconds(), deadline)
          << PagesOnDisk() << " of " << count << " pages are on disk";
      std::this_thread::yield();
    }
  }

  StorageStack stack;
  CacheContext context;
};

// The writer's thread.
class Writer {
 public:
  explicit Writer(StorageStack& stack)
      : stack_(stack), thread_([&stack] { stack.writeback().Run(os::MonotonicNanoseconds); }) {}
  Writer(const Writer&) = delete;
  ~Writer() {
    stack_.writeback().Stop();
    thread_.join();
  }

 private:
  StorageStack& stack_;
  std::thread thread_;
};

// A forked child that reports how it ended. It is killed when it takes too long.
class ForkedChild {
 public:
  template <typename Body>
  explicit ForkedChild(Body body) {
    UZ_CHECK_EQ(pipe(go_), 0);
    pid_ = fork();
    UZ_CHECK(pid_ >= 0);
    if (pid_ != 0) return;
    alarm(kDeadlineMs / 1000);
    close(go_[1]);
    _exit(body(*this));
  }
  ForkedChild(const ForkedChild&) = delete;
  ~ForkedChild() {
    close(go_[0]);
    close(go_[1]);
  }
  // In the child: waits until the parent calls Go.
  bool AwaitGo() {
    char c = 0;
    return read(go_[0], &c, 1) == 1;
  }
  void Go() { UZ_CHECK_EQ(write(go_[1], "g", 1), 1); }
  void ExpectSuccess() {
    int status = -1;
    ASSERT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_FALSE(WIFSIGNALED(status))
        << "signal " << WTERMSIG(status) << " (SIGALRM: it took too long)";
    EXPECT_EQ(WEXITSTATUS(status), 0) << "the child says which step failed";
  }

 private:
  int go_[2];
  pid_t pid_ = -1;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_TESTING_STORAGE_RIG_H_
