#include "os/procfs.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "base/testing/wait_until.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

bool Parse(const char* line, MapsEntry* entry) { return ParseMapsLine(line, strlen(line), entry); }

TEST(ParseMapsLine, KindsOfMappings) {
  struct Case {
    const char* line;
    const char* what;  // r w x s a(nonymous) t(stack) k(ernel)
    uint64_t start, end;
  };
  const Case cases[] = {
      {"7f0000001000-7f0000003000 rw-p 00000000 00:00 0 ", "rwa", 0x7f0000001000, 0x7f0000003000},
      {"7f0000001000-7f0000003000 rw-p 00000000 00:00 0", "rwa", 0x7f0000001000, 0x7f0000003000},
      {"00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon", "rx", 0x400000,
       0x452000},
      {"55d0c8e01000-55d0c8e22000 rw-p 00000000 00:00 0                          [heap]", "rwa",
       0x55d0c8e01000, 0x55d0c8e22000},
      {"7ffc8345b000-7ffc8347c000 rw-p 00000000 00:00 0                          [stack]", "rwat",
       0x7ffc8345b000, 0x7ffc8347c000},
      {"7ffc834cd000-7ffc834d1000 r--p 00000000 00:00 0                          [vvar]", "rak",
       0x7ffc834cd000, 0x7ffc834d1000},
      {"7ffc834d1000-7ffc834d3000 r-xp 00000000 00:00 0                          [vdso]", "rxak",
       0x7ffc834d1000, 0x7ffc834d3000},
      {"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]", "xak",
       0xffffffffff600000, 0xffffffffff601000},
      {"7f0000000000-7f0000200000 rw-s 00000000 00:01 4123       /dev/zero (deleted)", "rws",
       0x7f0000000000, 0x7f0000200000},
      {"7f0000000000-7f0000001000 ---p 00000000 00:00 0", "a", 0x7f0000000000, 0x7f0000001000},
      {"7f0000000000-7f0000001000 rw-p 0001a000 fe:00 99 /tmp/a name with [stack] in it", "rw",
       0x7f0000000000, 0x7f0000001000},
      {"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 [anon:a name]", "rwa", 0x7f0000000000,
       0x7f0000001000},
  };
  for (const Case& c : cases) {
    MapsEntry entry;
    ASSERT_TRUE(Parse(c.line, &entry)) << c.line;
    const auto says = [&](char letter) { return strchr(c.what, letter) != nullptr; };
    EXPECT_EQ(entry.start, c.start) << c.line;
    EXPECT_EQ(entry.end, c.end) << c.line;
    EXPECT_EQ(entry.readable, says('r')) << c.line;
    EXPECT_EQ(entry.writable, says('w')) << c.line;
    EXPECT_EQ(entry.executable, says('x')) << c.line;
    EXPECT_EQ(entry.shared, says('s')) << c.line;
    EXPECT_EQ(entry.anonymous, says('a')) << c.line;
    EXPECT_EQ(entry.stack, says('t')) << c.line;
    EXPECT_EQ(entry.kernel, says('k')) << c.line;
  }
}

TEST(ParseMapsLine, WhatIsNoLineOfMappings) {
  for (const char* line :
       {"", "\n", "hello", "7f00-", "7f00 7f01 rw-p 0 0:0 0", "7f00-7f01", "7f00-7f01rw-p",
        "7f00-7f01 rw-p", "7f00-7f01 rw-p 0 0:0", "7f00-7f01 rw-p 0 0:0 x", "VmFlags: rd wr mr"}) {
    MapsEntry entry;
    EXPECT_FALSE(Parse(line, &entry)) << line;
  }
}

class Anonymous {
 public:
  explicit Anonymous(size_t pages, int protection = PROT_READ | PROT_WRITE)
      : size_(pages * kPageSize),
        data_(static_cast<char*>(
            mmap(nullptr, size_ + 2 * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    mprotect(data_ + kPageSize, size_, protection);
  }
  ~Anonymous() { munmap(data_, size_ + 2 * kPageSize); }
  [[nodiscard]] char* data() const { return data_ + kPageSize; }
  [[nodiscard]] uint64_t start() const { return reinterpret_cast<uint64_t>(data()); }
  [[nodiscard]] uint64_t end() const { return start() + size_; }

 private:
  size_t size_;
  char* data_;
};

TEST(MapsReader, FindsARealMappingAndComesToAnEnd) {
  const Anonymous memory(5);
  MapsReader maps;
  ASSERT_TRUE(maps.Open().ok());
  for (int round = 0; round < 3; ++round) {
    maps.Rewind();
    MapsEntry entry;
    uint64_t last = 0;
    int found = 0;
    int stacks = 0;
    while (maps.Next(&entry)) {
      EXPECT_LT(entry.start, entry.end);
      EXPECT_GE(entry.start, last);
      last = entry.end;
      stacks += entry.stack ? 1 : 0;
      if (entry.start != memory.start()) continue;
      ++found;
      EXPECT_EQ(entry.end, memory.end());
      EXPECT_TRUE(entry.anonymous && entry.writable && !entry.shared && !entry.executable);
    }
    EXPECT_EQ(found, 1);
    EXPECT_EQ(stacks, 1);
    EXPECT_FALSE(maps.Next(&entry));
  }
}

TEST(MapsReader, FindsTheMappingOfAnAddress) {
  const Anonymous memory(5);
  const Anonymous locked_up(3, PROT_READ);
  MapsReader maps;
  ASSERT_TRUE(maps.Open().ok());
  MapsEntry entry;
  for (const uint64_t at : {memory.start(), memory.start() + 4097, memory.end() - 1}) {
    ASSERT_TRUE(maps.Find(at, &entry));
    EXPECT_EQ(entry.start, memory.start());
    EXPECT_EQ(entry.end, memory.end());
    EXPECT_TRUE(entry.anonymous && entry.readable && entry.writable);
    EXPECT_FALSE(entry.shared || entry.executable);
  }
  ASSERT_TRUE(maps.Find(memory.end(), &entry));  // the guard
  EXPECT_FALSE(entry.readable || entry.writable);
  ASSERT_TRUE(maps.Find(locked_up.start(), &entry));
  EXPECT_TRUE(entry.readable && !entry.writable);
  ASSERT_TRUE(maps.Find(reinterpret_cast<uint64_t>(&ParseMapsLine), &entry));
  EXPECT_TRUE(entry.executable && !entry.anonymous);
  EXPECT_FALSE(maps.Find(kPageSize, &entry));
}

// More text than the buffer holds, so that lines are cut at its edge.
TEST(MapsReader, ManyMappings) {
  std::vector<std::unique_ptr<Anonymous>> all;
  std::set<uint64_t> starts;
  for (int i = 0; i < 600; ++i) {
    all.push_back(std::make_unique<Anonymous>(2));
    starts.insert(all.back()->start());
  }
  MapsReader maps;
  ASSERT_TRUE(maps.Open().ok());
  maps.Rewind();
  MapsEntry entry;
  while (maps.Next(&entry)) starts.erase(entry.start);
  EXPECT_TRUE(starts.empty());
}

TEST(MapsReader, TheDetailedReaderKnowsWipedMappings) {
  const Anonymous plain(2);
  const Anonymous wiped(2);
  ASSERT_EQ(madvise(wiped.data(), 2 * kPageSize, MADV_WIPEONFORK), 0);
  MapsReader maps;
  ASSERT_TRUE(maps.OpenDetailed().ok());
  maps.Rewind();
  MapsEntry entry;
  int found = 0;
  while (maps.Next(&entry)) {
    if (entry.start != plain.start() && entry.start != wiped.start()) continue;
    ++found;
    EXPECT_EQ(entry.wiped, entry.start == wiped.start());
    EXPECT_TRUE(entry.writable && entry.anonymous);
  }
  EXPECT_EQ(found, 2);
}

TEST(MemoryReader, SeesMemoryComeAndGo) {
  MemoryReader memory;
  ASSERT_TRUE(memory.Open().ok());
  constexpr size_t kPagesTouched = 4096;
  const Bytes before = memory.AnonymousBytes();
  Anonymous region(kPagesTouched);
  memset(region.data(), 1, kPagesTouched * kPageSize);
  const Bytes during = memory.AnonymousBytes();
  // The kernel counts in batches for each processor: within a few megabytes.
  EXPECT_GT(during.raw(), before.raw() + kPagesTouched * kPageSize / 2);
  madvise(region.data(), kPagesTouched * kPageSize, MADV_DONTNEED);
  EXPECT_LT(memory.AnonymousBytes().raw(), during.raw() - kPagesTouched * kPageSize / 2);
}

TEST(PagemapReader, RunsOfPresentPages) {
  PagemapReader pagemap;
  if (!pagemap.Open().ok()) GTEST_SKIP() << "this kernel has no PAGEMAP_SCAN";
  Anonymous memory(64);
  madvise(memory.data(), 64 * kPageSize, MADV_NOHUGEPAGE);
  for (const size_t page : {0, 1, 2, 10, 20, 21, 63}) memory.data()[page * kPageSize] = 1;
  PresentRun runs[8];
  uint64_t walked = 0;
  Result<size_t> found = pagemap.Present(memory.start(), memory.end(), runs, 8, &walked);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found.value(), 4u);
  EXPECT_EQ(walked, memory.end());
  EXPECT_EQ(runs[0].start, memory.start());
  EXPECT_EQ(runs[0].end, memory.start() + 3 * kPageSize);
  EXPECT_EQ(runs[3].start, memory.end() - kPageSize);
  // With room for two the search stops, and continues where it stopped.
  found = pagemap.Present(memory.start(), memory.end(), runs, 2, &walked);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found.value(), 2u);
  EXPECT_LT(walked, memory.end());
  found = pagemap.Present(walked, memory.end(), runs, 8, &walked);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value(), 2u);
}

// A page that parent and child map, and one that only the parent maps.
TEST(ShareReader, TellsPagesOfARelativeFromOwnPages) {
  ShareReader share;
  PagemapReader pagemap;
  ASSERT_TRUE(share.Open().ok());
  if (!pagemap.Open().ok()) GTEST_SKIP() << "this kernel has no PAGEMAP_SCAN";
  constexpr size_t kPages = 1024;
  Anonymous memory(kPages);
  madvise(memory.data(), kPages * kPageSize, MADV_NOHUGEPAGE);
  for (size_t page = 0; page < kPages / 2; ++page) memory.data()[page * kPageSize] = 1;
  EXPECT_EQ(pagemap.MappedOnce(memory.start()), true);
  EXPECT_EQ(pagemap.MappedOnce(memory.end() - kPageSize), false) << "not present";
  const std::optional<AnonymousSplit> alone = share.Split();
  ASSERT_TRUE(alone.has_value());

  int end[2];
  ASSERT_EQ(pipe(end), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    close(end[1]);
    _exit(read(end[0], &byte, 1) == 0 ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  memory.data()[0] = 2;
  EXPECT_EQ(pagemap.MappedOnce(memory.start()), true) << "written: a copy";
  EXPECT_EQ(pagemap.MappedOnce(memory.start() + kPageSize), false) << "shared";
  EXPECT_FALSE(pagemap.SharedContent(memory.start())) << "a copy";
  EXPECT_TRUE(pagemap.SharedContent(memory.start() + kPageSize));
  EXPECT_FALSE(pagemap.SharedContent(memory.end() - kPageSize)) << "not present";
  static_cast<void>(*static_cast<volatile char*>(memory.data() + (kPages - 1) * kPageSize));
  EXPECT_EQ(pagemap.MappedOnce(memory.end() - kPageSize), false);
  EXPECT_FALSE(pagemap.SharedContent(memory.end() - kPageSize)) << "the zero page";
  const std::optional<AnonymousSplit> shared = share.Split();
  ASSERT_TRUE(shared.has_value());
  const uint64_t size = kPages / 2 * kPageSize;
  EXPECT_LT(shared->exclusive.raw() + size / 2, alone->exclusive.raw());
  EXPECT_LT(shared->share.raw() + size / 4, alone->share.raw());
  EXPECT_LE(shared->exclusive, shared->share);

  close(end[1]);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  close(end[0]);
  EXPECT_EQ(pagemap.MappedOnce(memory.start() + kPageSize), true) << "the child has gone";
}

TEST(TaskReader, SeesEveryThreadAndItsDescriptor) {
  TaskReader tasks;
  ASSERT_TRUE(tasks.Open().ok());
  std::set<uint32_t> seen;
  const auto visit = [](void* raw, uint32_t thread) {
    static_cast<std::set<uint32_t>*>(raw)->insert(thread);
  };
  std::promise<uint32_t> started;
  std::promise<void> stop;
  std::thread other([&] {
    started.set_value(static_cast<uint32_t>(gettid()));
    // Longer than the test waits for anything.
    stop.get_future().wait_for(std::chrono::seconds(60));
  });
  std::future<uint32_t> number_of_other = started.get_future();
  // Or the thread has not started in time.
  UZ_CHECK(number_of_other.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
  const uint32_t number = number_of_other.get();
  tasks.ForEach(visit, &seen);
  EXPECT_TRUE(seen.contains(number));
  EXPECT_TRUE(seen.contains(static_cast<uint32_t>(getpid())));
  // A thread's descriptor is where its handle points, or shortly behind.
  const uint64_t hint = ThreadDescriptorHint(number);
  const auto handle = static_cast<uint64_t>(other.native_handle());
  EXPECT_GE(hint, handle);
  EXPECT_LT(hint, handle + kPageSize);
  EXPECT_GE(tasks.ProcessorOf(number), 0);
  stop.set_value();
  other.join();
}

TEST(MaxMappings, IsTheKernelsSetting) {
  std::ifstream file("/proc/sys/vm/max_map_count");
  uint64_t expected = 0;
  ASSERT_TRUE(file >> expected);
  EXPECT_EQ(MaxMappings(), expected);
}

// The number stays while the thread sleeps, and changes when it has run in between.
TEST(TaskReader, KnowsWhetherAThreadSleptThrough) {
  TaskReader tasks;
  ASSERT_TRUE(tasks.Open().ok());
  std::atomic<uint32_t> thread_id{0};
  std::atomic<uint32_t> word{0};
  std::thread sleeper([&] {
    thread_id = ThreadNumber();
    uint32_t seen = 0;
    while (seen != 2) {
      FutexWait(&word, seen, UINT64_C(30) * 1'000'000'000);
      seen = word;
    }
  });
  EXPECT_TRUE(WaitUntil([&] { return thread_id != 0; })) << "the thread does not start";
  std::optional<uint64_t> first;
  EXPECT_TRUE(WaitUntil([&] {
    first = tasks.FutexSleep(thread_id);
    return first.has_value();
  })) << "the thread does not sleep";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(tasks.FutexSleep(thread_id), first);
  word = 1;
  FutexWake(&word, 1);
  // It may still sleep at first.
  EXPECT_TRUE(WaitUntil([&] {
    const std::optional<uint64_t> second = tasks.FutexSleep(thread_id);
    return second.has_value() && second != first;
  })) << "the thread does not sleep again, or with the same number";
  word = 2;
  FutexWake(&word, 1);
  sleeper.join();
  EXPECT_FALSE(tasks.FutexSleep(thread_id).has_value()) << "it has ended";
  EXPECT_FALSE(tasks.FutexSleep(ThreadNumber()).has_value()) << "it runs";
}

TEST(TaskReader, NobodyThere) {
  TaskReader tasks;
  ASSERT_TRUE(tasks.Open().ok());
  EXPECT_EQ(tasks.ProcessorOf(0x7fffffff), -1);
  EXPECT_EQ(ThreadDescriptorHint(0x7fffffff), 0u);
}

}  // namespace
}  // namespace uzswap::os
