#include "os/thread_activity.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "base/testing/wait_until.h"

namespace uzswap::os {
namespace {

TEST(ThreadActivity, WhatTheTextsMean) {
  struct Case {
    const char* name;
    const char* system_call;
    ThreadActivity activity;
  };
  const Case cases[] = {
      {"worker\n", "running\n", ThreadActivity::kUncertain},
      {"worker\n", "-1 0x7ffd 0x55d0\n", ThreadActivity::kElsewhere},
      {"worker\n", "202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd 0x7f00\n", ThreadActivity::kElsewhere},
      {"worker\n", "0 0x1 0x2\n", ThreadActivity::kElsewhere},
      {"worker\n", "28 0x7f0000000000 0x1000 0x8\n", ThreadActivity::kUncertain},
      {"worker\n", "440 0x3\n", ThreadActivity::kUncertain},
      {"worker\n", "426 0x3\n", ThreadActivity::kUncertain},
      {"worker\n", "", ThreadActivity::kUncertain},
      {"worker\n", "28", ThreadActivity::kUncertain},
      {"worker\n", "12345678 0x1\n", ThreadActivity::kUncertain},
      {"iou-wrk-123\n", "-1 0x0 0x0\n", ThreadActivity::kUncertain},
      {"", "202 0x1\n", ThreadActivity::kUncertain},
  };
  for (const Case& c : cases)
    EXPECT_EQ(ActivityOf(c.name, c.system_call), c.activity) << c.system_call;
}

TEST(ThreadActivity, OfRealThreads) {
  TaskReader tasks;
  ASSERT_TRUE(tasks.Open().ok());
  const auto self = static_cast<uint32_t>(syscall(SYS_gettid));
  EXPECT_EQ(LookAtThread(tasks, self), ThreadActivity::kElsewhere) << "it reads the file";
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<uint32_t> number{0};
  std::thread sleeper([&] {
    number.store(static_cast<uint32_t>(syscall(SYS_gettid)));
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
  });
  EXPECT_TRUE(WaitUntil([&] {
    return number.load() != 0 && LookAtThread(tasks, number.load()) == ThreadActivity::kElsewhere;
  }));
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  sleeper.join();
  EXPECT_TRUE(
      WaitUntil([&] { return LookAtThread(tasks, number.load()) == ThreadActivity::kGone; }));
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace uzswap::os
