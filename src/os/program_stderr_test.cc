#include "os/program_stderr.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <gtest/gtest.h>
#include <string>

#include "os/thread.h"

namespace uzswap::os {
namespace {

std::string ReadAll(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY);
  char buffer[256];
  const ssize_t got = read(file, buffer, sizeof(buffer));
  close(file);
  return {buffer, static_cast<size_t>(got < 0 ? 0 : got)};
}

class ProgramStderr : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "program_stderr." + std::to_string(getpid());
    saved_ = dup(2);
    const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(file, 2);
    close(file);
  }
  void TearDown() override {
    dup2(saved_, 2);
    close(saved_);
    unlink(path_.c_str());
  }
  std::string path_;
  int saved_ = -1;
};

TEST_F(ProgramStderr, IsReachedFromTheMainThread) {
  WriteToProgramStderr("one\n");
  WriteToProgramStderr("two\n");
  EXPECT_EQ(ReadAll(path_), "one\ntwo\n");
}

std::atomic<uint32_t> g_written{0};

// Its own descriptor 2 is the null device.
TEST_F(ProgramStderr, IsReachedFromAServiceThread) {
  const auto body = [](void*) {
    WriteToProgramStderr("from a thread without streams\n");
    g_written.store(1, std::memory_order_release);
    FutexWake(&g_written, 1);
    while (true) FutexWait(&g_written, 1, 1'000'000'000);
  };
  ASSERT_TRUE(StartServiceThread(body, nullptr, DescriptorTable::kOwn, "writer").ok());
  while (g_written.load(std::memory_order_acquire) == 0) FutexWait(&g_written, 0, 100'000'000);
  EXPECT_EQ(ReadAll(path_), "from a thread without streams\n");
}

TEST_F(ProgramStderr, AClosedStreamIsIgnored) {
  close(2);
  WriteToProgramStderr("to nobody\n");
  EXPECT_EQ(ReadAll(path_), "");
}

}  // namespace
}  // namespace uzswap::os
