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

#include "base/testing/slowness.h"
#include "base/testing/wait_until.h"
#include "os/testing/anonymous_memory.h"
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

TEST(MapsReader, FindsARealMappingAndComesToAnEnd) {
  const AnonymousMemory memory(5);
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
  const AnonymousMemory memory(5);
  const AnonymousMemory locked_up(3, PROT_READ);
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
  std::vector<std::unique_ptr<AnonymousMemory>> all;
  std::set<uint64_t> starts;
  for (int i = 0; i < 600; ++i) {
    all.push_back(std::make_unique<AnonymousMemory>(2));
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
  const AnonymousMemory plain(2);
  const AnonymousMemory wiped(2);
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
  AnonymousMemory region(kPagesTouched);
  memset(region.data(), 1, kPagesTouched * kPageSize);
  const Bytes during = memory.AnonymousBytes();
  // The kernel counts in batches for each processor: within a few megabytes.
  EXPECT_GT(during.raw(), before.raw() + kPagesTouched * kPageSize / 2);
  madvise(region.data(), kPagesTouched * kPageSize, MADV_DONTNEED);
  EXPECT_LT(memory.AnonymousBytes().raw(), during.raw() - kPagesTouched * kPageSize / 2);
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
    stop.get_future().wait_for(Slower(std::chrono::seconds(60)));
  });
  std::future<uint32_t> number_of_other = started.get_future();
  // Or the thread has not started in time.
  UZ_CHECK(number_of_other.wait_for(Slower(std::chrono::seconds(30))) == std::future_status::ready);
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
      FutexWait(&word, seen, Slower(UINT64_C(30) * 1'000'000'000));
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
