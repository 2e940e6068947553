#include "uzswap/region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "base/testing/page_corpus.h"

namespace uzswap {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr size_t kPage = Region::kPageBytes;

Region CreateRegion(const Region::Options& options) {
  Result<Region> created = Region::Create(options);
  EXPECT_TRUE(created.ok()) << created.error().what << " " << created.error().errno_value;
  return std::move(created).value();
}

std::span<std::byte> PageOf(const Region& region, uint64_t page) {
  return {region.data() + page * kPage, kPage};
}

// The content of a page follows from its number and version. Version 0 is the page of zeroes.
PageKind KindOf(uint64_t page, uint64_t version) {
  constexpr PageKind kKinds[] = {PageKind::kText, PageKind::kPointers, PageKind::kMostlyZero,
                                 PageKind::kWord};
  return version == 0 ? PageKind::kZero : kKinds[(page + version) % std::size(kKinds)];
}
void WritePage(const Region& region, uint64_t page, uint64_t version) {
  FillPageOf(KindOf(page, version), page * 1000 + version, PageOf(region, page));
}
bool HoldsPage(const Region& region, uint64_t page, uint64_t version) {
  std::byte expected[kPage];
  FillPageOf(KindOf(page, version), page * 1000 + version, expected);
  return memcmp(expected, PageOf(region, page).data(), kPage) == 0;
}

TEST(RegionOptionsTest, ThatMakeNoSenseAreNamed) {
  const struct {
    Region::Options options;
    const char* names;
  } kCases[] = {
      {{.size = 0, .memory_bytes = kMiB}, "size"},
      {{.size = Region::kSizeMax + 1, .memory_bytes = kMiB}, "size"},
      {{.size = kMiB, .memory_bytes = kMiB - 1}, "memory_bytes"},
      {{.size = kMiB, .memory_bytes = UINT64_MAX}, "memory_bytes"},
  };
  for (const auto& c : kCases) {
    const Result<Region> created = Region::Create(c.options);
    ASSERT_FALSE(created.ok()) << c.names;
    EXPECT_EQ(created.error().errno_value, EINVAL);
    EXPECT_NE(std::string(created.error().what).find(c.names), std::string::npos);
  }
  const Result<Region> no_folder =
      Region::Create({.size = kMiB, .memory_bytes = kMiB, .backing = "/does/not/exist"});
  ASSERT_FALSE(no_folder.ok());
  EXPECT_EQ(no_folder.error().errno_value, ENOENT);
}

TEST(RegionTest, StartsAsZeroesAndHasTheSizeAskedFor) {
  const Region region = CreateRegion({.size = 3 * kPage + 1, .memory_bytes = kMiB});
  EXPECT_EQ(region.size(), 4 * kPage);
  for (size_t i = 0; i < region.size(); ++i) ASSERT_EQ(region.data()[i], std::byte{0});
  region.data()[5] = std::byte{7};
  EXPECT_EQ(region.data()[5], std::byte{7});
  EXPECT_EQ(region.statistics().resident_bytes, region.size());
}

TEST(RegionTest, HoldsMoreThanItsMemory) {
  constexpr uint64_t kPages = 16 * kMiB / kPage;
  const Region region = CreateRegion({.size = 16 * kMiB, .memory_bytes = 4 * kMiB});
  uint64_t most = 0;
  for (uint64_t round = 1; round <= 3; ++round) {
    for (uint64_t page = 0; page < kPages; ++page) {
      if (round > 1) {
        ASSERT_TRUE(HoldsPage(region, page, round - 1)) << page;
      }
      WritePage(region, page, round);
      const Region::Statistics counts = region.statistics();
      most = std::max(most, counts.resident_bytes + counts.compressed_bytes);
    }
  }
  // A fault takes its page before it makes room, and a pool grows by whole zspages.
  EXPECT_LE(most, 4 * kMiB + 64 * kPage);
  const Region::Statistics counts = region.statistics();
  EXPECT_GT(counts.stored_pages, kPages / 2);
  EXPECT_EQ(counts.over_budget, 0u);
  EXPECT_GT(counts.read_ahead, 0u);
}

TEST(RegionTest, WritesWhatDoesNotFitToTheMedium) {
  constexpr uint64_t kPages = 16 * kMiB / kPage;
  const std::string folder = testing::TempDir();
  const Region region = CreateRegion(
      {.size = 16 * kMiB, .memory_bytes = 2 * kMiB, .backing = folder.c_str(), .encrypt = true});
  for (uint64_t page = 0; page < kPages; ++page) {
    FillPageOf(PageKind::kMixed, page, PageOf(region, page));
  }
  for (uint64_t page = 0; page < kPages; ++page) {
    std::byte expected[kPage];
    FillPageOf(PageKind::kMixed, page, expected);
    ASSERT_EQ(memcmp(expected, PageOf(region, page).data(), kPage), 0) << page;
  }
  const Region::Statistics counts = region.statistics();
  EXPECT_GT(counts.disk_bytes, 2 * kMiB);
  EXPECT_GT(counts.faults_from_disk, 0u);
  // Pages are decided on one after the other, and a fault is never refused.
  EXPECT_LE(counts.resident_bytes + counts.compressed_bytes, 4 * kMiB);
}

TEST(RegionTest, IncompressiblePagesStayAndExceedTheBudget) {
  constexpr uint64_t kPages = 4 * kMiB / kPage;
  const Region region = CreateRegion({.size = 4 * kMiB, .memory_bytes = kMiB});
  for (uint64_t page = 0; page < kPages; ++page) {
    FillPageOf(PageKind::kRandom, page, PageOf(region, page));
  }
  for (uint64_t page = 0; page < kPages; ++page) {
    std::byte expected[kPage];
    FillPageOf(PageKind::kRandom, page, expected);
    ASSERT_EQ(memcmp(expected, PageOf(region, page).data(), kPage), 0) << page;
  }
  EXPECT_GT(region.statistics().over_budget, 0u);
}

// Each thread has every fourth page; all of them share the budget.
TEST(RegionTest, ThreadsFaultAtTheSameTime) {
  constexpr int kThreads = 4;
  constexpr uint64_t kPages = 12 * kMiB / kPage;
  const Region region = CreateRegion({.size = 12 * kMiB, .memory_bytes = 3 * kMiB});
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      Rng rng(static_cast<uint64_t>(number) + 1);
      std::vector<uint64_t> versions(kPages / kThreads);
      for (int i = 0; i < 6'000; ++i) {
        const uint64_t own = rng.Below(versions.size());
        const uint64_t page = own * kThreads + static_cast<uint64_t>(number);
        if (!HoldsPage(region, page, versions[own])) wrong.fetch_add(1);
        if (i % 3 == 0) WritePage(region, page, ++versions[own]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(region.statistics().over_budget, 0u);
}

// All threads read and write the same pages: each byte belongs to one thread.
TEST(RegionTest, ThreadsFaultOnTheSamePages) {
  constexpr int kThreads = 4;
  constexpr uint64_t kPages = 8 * kMiB / kPage;
  const Region region = CreateRegion({.size = 8 * kMiB, .memory_bytes = kMiB});
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      Rng rng(static_cast<uint64_t>(number) + 77);
      std::vector<uint8_t> values(kPages);
      for (int i = 0; i < 15'000; ++i) {
        const uint64_t page = rng.Below(kPages);
        volatile auto* byte = reinterpret_cast<volatile uint8_t*>(region.data() + page * kPage +
                                                                  static_cast<size_t>(number) * 64);
        if (*byte != values[page]) wrong.fetch_add(1);
        *byte = ++values[page];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
}

TEST(RegionTest, AgreesWithAModel) {
  const uint64_t seed = SeedFromEnvironment(20240611);
  SCOPED_TRACE("seed " + std::to_string(seed));
  constexpr uint64_t kPages = 6 * kMiB / kPage;
  const std::string folder = testing::TempDir();
  const Region region =
      CreateRegion({.size = 6 * kMiB, .memory_bytes = kMiB, .backing = folder.c_str()});
  std::vector<uint64_t> model(kPages);
  std::vector<std::pair<uint64_t, Region::Pin>> pins;
  Rng rng(seed);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t page = rng.Below(kPages);
    const uint64_t count = std::min(1 + rng.Below(20), kPages - page);
    std::byte* start = region.data() + page * kPage;
    switch (rng.Below(12)) {
      case 0: {
        bool pinned = false;
        for (const auto& [first, pin] : pins) pinned |= first >= page && first < page + count;
        if (pinned) break;
        region.Discard(start, count * kPage);
        for (uint64_t p = page; p < page + count; ++p) model[p] = 0;
        break;
      }
      case 1:
        region.Advise(start, count * kPage, Region::Advice::kWillNeed);
        break;
      case 2:
        region.Advise(start, count * kPage, Region::Advice::kCold);
        break;
      case 3: {
        if (pins.size() >= 20) pins.erase(pins.begin() + static_cast<long>(rng.Below(20)));
        Result<Region::Pin> pin = region.PinRange(start, kPage);
        ASSERT_TRUE(pin.ok());
        pins.emplace_back(page, std::move(pin).value());
        break;
      }
      case 4:
      case 5:
      case 6:
        WritePage(region, page, ++model[page]);
        break;
      case 7:
        for (uint64_t p = page; p < page + count; ++p) {
          ASSERT_TRUE(HoldsPage(region, p, model[p])) << p << " at " << i;
        }
        break;
      default:
        ASSERT_TRUE(HoldsPage(region, page, model[page])) << page << " at " << i;
    }
  }
  for (uint64_t page = 0; page < kPages; ++page) ASSERT_TRUE(HoldsPage(region, page, model[page]));
}

TEST(RegionTest, SystemCallsNeedPins) {
  constexpr uint64_t kPages = 4 * kMiB / kPage;
  const Region region = CreateRegion({.size = 4 * kMiB, .memory_bytes = kMiB});
  for (uint64_t page = 0; page < kPages; ++page) WritePage(region, page, 1);
  const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(zero, 0);
  EXPECT_EQ(read(zero, PageOf(region, 0).data(), kPage), -1) << "it was swapped out long ago";
  EXPECT_EQ(errno, EFAULT);
  EXPECT_TRUE(HoldsPage(region, 0, 1));
  {
    const Result<Region::Pin> pin = region.PinRange(region.data() + 100, 3 * kPage);
    ASSERT_TRUE(pin.ok());
    EXPECT_EQ(region.statistics().pinned_pages, 4u);
    for (uint64_t page = 4; page < kPages; ++page) ASSERT_TRUE(HoldsPage(region, page, 1));
    EXPECT_EQ(read(zero, PageOf(region, 0).data(), 4 * kPage), static_cast<ssize_t>(4 * kPage));
  }
  EXPECT_EQ(region.statistics().pinned_pages, 0u);
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_TRUE(HoldsPage(region, page, page < 4 ? 0 : 1)) << page;
  }
  const Result<Region::Pin> too_many = region.PinRange(region.data(), region.size());
  ASSERT_FALSE(too_many.ok());
  EXPECT_EQ(too_many.error().errno_value, ENOMEM);
  close(zero);
}

TEST(RegionTest, DiscardedPagesAreZeroesAndTakeNoMemory) {
  constexpr uint64_t kPages = 4 * kMiB / kPage;
  const Region region = CreateRegion({.size = 4 * kMiB, .memory_bytes = kMiB});
  for (uint64_t page = 0; page < kPages; ++page) WritePage(region, page, 1);
  // Only whole pages.
  region.Discard(region.data() + 1, region.size() - 2);
  EXPECT_LE(region.statistics().stored_pages, 2u);
  EXPECT_TRUE(HoldsPage(region, 0, 1));
  EXPECT_TRUE(HoldsPage(region, kPages - 1, 1));
  for (uint64_t page = 1; page + 1 < kPages; ++page) ASSERT_TRUE(HoldsPage(region, page, 0));
}

TEST(RegionTest, AdviceBringsInAndReclaimsFirst) {
  constexpr uint64_t kPages = 4 * kMiB / kPage;
  const Region region = CreateRegion({.size = 4 * kMiB, .memory_bytes = 2 * kMiB});
  for (uint64_t page = 0; page < kPages; ++page) WritePage(region, page, 1);
  region.Discard(region.data() + 2 * kMiB, 2 * kMiB);
  const uint64_t before = region.statistics().faults;
  region.Advise(region.data(), 64 * kPage, Region::Advice::kWillNeed);
  for (uint64_t page = 0; page < 64; ++page) ASSERT_TRUE(HoldsPage(region, page, 1));
  EXPECT_EQ(region.statistics().faults, before);
  region.Advise(region.data(), region.size(), Region::Advice::kCold);
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_TRUE(HoldsPage(region, page, page < kPages / 2 ? 1 : 0));
  }
}

std::atomic<const Region*> g_region{nullptr};
std::atomic<int> g_wrong{0};
[[maybe_unused]] void TouchInHandler(int) {
  const Region& region = *g_region.load();
  for (uint64_t page = 0; page < region.size() / kPage; page += 37) {
    if (!HoldsPage(region, page, 1)) g_wrong.fetch_add(1);
  }
}

// The thread sanitizer calls handlers later, with all signals blocked: SIGBUS would end the
// process.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UZ_THREAD_SANITIZER
#endif
#endif

#ifndef UZ_THREAD_SANITIZER
TEST(RegionTest, HandlersOfSignalsMayTouchIt) {
  const Region region = CreateRegion({.size = 4 * kMiB, .memory_bytes = kMiB});
  for (uint64_t page = 0; page < region.size() / kPage; ++page) WritePage(region, page, 1);
  g_region.store(&region);
  struct sigaction action {};
  action.sa_handler = TouchInHandler;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(g_wrong.load(), 0);
}
#endif

TEST(RegionTest, MovesWithItsHandle) {
  Region region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  region.data()[0] = std::byte{1};
  Region other = std::move(region);
  EXPECT_EQ(other.data()[0], std::byte{1});
  Region third = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  third = std::move(other);
  EXPECT_EQ(third.data()[0], std::byte{1});
}

TEST(RegionTest, ManyRegionsAtTheSameTime) {
  std::vector<Region> regions;
  for (uint64_t i = 0; i < 20; ++i) {
    regions.push_back(CreateRegion({.size = 2 * kMiB, .memory_bytes = kMiB}));
    for (uint64_t page = 0; page < 512; ++page) WritePage(regions.back(), page, 1 + i);
  }
  regions.erase(regions.begin() + 3, regions.begin() + 9);
  for (size_t i = 0; i < regions.size(); ++i) {
    const uint64_t version = i < 3 ? 1 + i : 7 + i;
    for (uint64_t page = 0; page < 512; ++page) {
      ASSERT_TRUE(HoldsPage(regions[i], page, version)) << i;
    }
  }
}

void DiscardBehindTheEnd() {
  const Region region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  region.Discard(region.data() + kMiB, 0);
  region.Discard(region.data() + kMiB, 1);
}
void AdviseBeforeTheStart() {
  const Region region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  region.Advise(region.data() - 1, 1, Region::Advice::kCold);
}

TEST(RegionTest, TheRangeOfACallIsChecked) {
  EXPECT_DEATH(DiscardBehindTheEnd(), "not in the region");
  EXPECT_DEATH(AdviseBeforeTheStart(), "not in the region");
}

// The userfaultfd of the child is that of the parent: it would populate pages of the parent.
TEST(RegionTest, CallsOfAForkedChildAreRefused) {
  const Region region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  EXPECT_DEATH(region.Advise(region.data(), 1, Region::Advice::kWillNeed), "a forked child");
  EXPECT_DEATH(region.Discard(region.data(), kMiB), "a forked child");
  EXPECT_DEATH(static_cast<void>(region.PinRange(region.data(), 1)), "a forked child");
}

int StatusOfChild(void (*body)(const Region&), const Region& region) {
  const pid_t child = fork();
  if (child == 0) {
    body(region);
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// A wrong byte would be worse.
TEST(RegionTest, AForkedChildDoesNotHaveIt) {
  const Region region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  region.data()[0] = std::byte{1};
  const int status = StatusOfChild(
      [](const Region& inherited) {
        signal(SIGSEGV, SIG_DFL);
        static_cast<void>(*static_cast<volatile std::byte*>(inherited.data()));
      },
      region);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  EXPECT_EQ(region.data()[0], std::byte{1});
}

TEST(RegionTest, AForkedChildMayDestroyItsCopy) {
  std::optional<Region> region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  const pid_t child = fork();
  if (child == 0) {
    region.reset();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  region->data()[0] = std::byte{1};
}

// A timer interrupts calls of the region and touches, and its handler touches too.
#ifndef UZ_THREAD_SANITIZER
TEST(RegionTest, CallsThatAreInterrupted) {
  const Region region = CreateRegion({.size = 4 * kMiB, .memory_bytes = kMiB});
  for (uint64_t page = 0; page < region.size() / kPage; ++page) WritePage(region, page, 1);
  g_region.store(&region);
  g_wrong.store(0);
  struct sigaction action {};
  action.sa_handler = TouchInHandler;
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
  const itimerval often{{0, 3000}, {0, 3000}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  Rng rng(5);
  for (int i = 0; i < 3000; ++i) {
    const uint64_t page = rng.Below(region.size() / kPage - 8);
    std::byte* start = region.data() + page * kPage;
    const Result<Region::Pin> pin = region.PinRange(start, 4 * kPage);
    EXPECT_TRUE(pin.ok());
    region.Advise(start, 8 * kPage, i % 2 == 0 ? Region::Advice::kWillNeed : Region::Advice::kCold);
    EXPECT_TRUE(HoldsPage(region, page, 1));
    static_cast<void>(region.statistics());
  }
  const itimerval never{};
  ASSERT_EQ(setitimer(ITIMER_REAL, &never, nullptr), 0);
  signal(SIGALRM, SIG_DFL);
  EXPECT_EQ(g_wrong.load(), 0);
}
#endif

// Behind the end of a file: SIGBUS has nothing to do with a region.
volatile char* MapBehindAFile() {
  char name[] = "/tmp/uzswap-region-test-XXXXXX";
  const int file = mkstemp(name);
  unlink(name);
  void* mapped = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return static_cast<volatile char*>(mapped);
}

TEST(RegionTest, OtherBusErrorsKeepTheirAction) {
  const Region region = CreateRegion({.size = kMiB, .memory_bytes = kMiB});
  const int status = StatusOfChild(
      [](const Region&) {
        signal(SIGBUS, SIG_DFL);
        static_cast<void>(*MapBehindAFile());
      },
      region);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGBUS);
}

// A handler that the program installs later asks first.
void AsksFirst(int, siginfo_t* information, void* context) {
  if (!Region::HandleSignal(information, context)) _exit(42);
}

TEST(RegionTest, ALaterHandlerAsksTheRegionFirst) {
  const pid_t child = fork();
  if (child == 0) {
    Result<Region> created = Region::Create({.size = 4 * kMiB, .memory_bytes = kMiB});
    if (!created.ok()) _exit(1);
    const Region& region = created.value();
    struct sigaction action {};
    action.sa_sigaction = AsksFirst;
    action.sa_flags = SA_SIGINFO;
    sigfillset(&action.sa_mask);
    sigaction(SIGBUS, &action, nullptr);
    for (uint64_t page = 0; page < 1024; ++page) WritePage(region, page, 1);
    for (uint64_t page = 0; page < 1024; ++page) {
      if (!HoldsPage(region, page, 1)) _exit(2);
    }
    static_cast<void>(*MapBehindAFile());
    _exit(3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

}  // namespace
}  // namespace uzswap
