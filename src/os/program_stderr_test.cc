#include "os/program_stderr.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <gtest/gtest.h>
#include <string>

#include "base/testing/slowness.h"
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
  ASSERT_TRUE(StartServiceThread(body, nullptr, ServiceHome::kProgram, "writer").ok());
  const uint64_t deadline = MonotonicNanoseconds() + Slower(UINT64_C(30) * 1'000'000'000);
  while (g_written.load(std::memory_order_acquire) == 0) {
    ASSERT_LT(MonotonicNanoseconds(), deadline) << "the service thread has not written";
    FutexWait(&g_written, 0, 100'000'000);
  }
  EXPECT_EQ(ReadAll(path_), "from a thread without streams\n");
}

TEST_F(ProgramStderr, AClosedStreamIsIgnored) {
  close(2);
  WriteToProgramStderr("to nobody\n");
  EXPECT_EQ(ReadAll(path_), "");
}

// As under systemd: a socket cannot be opened by its path in /proc.
TEST_F(ProgramStderr, ASocketIsReached) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ASSERT_EQ(dup2(ends[1], 2), 2);
  close(ends[1]);
  WriteToProgramStderr("to a socket\n");
  char buffer[64];
  EXPECT_EQ(recv(ends[0], buffer, sizeof(buffer), MSG_DONTWAIT), 12);
  close(ends[0]);
  // SIGPIPE would end the test.
  WriteToProgramStderr("nobody reads\n");
}

TEST_F(ProgramStderr, APipeThatNobodyReadsIsIgnored) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(dup2(ends[1], 2), 2);
  close(ends[1]);
  close(ends[0]);
  WriteToProgramStderr("nobody reads\n");
}

TEST_F(ProgramStderr, ATryReachesAFile) {
  EXPECT_TRUE(TryWriteToProgramStderr("one\n"));
  EXPECT_TRUE(TryWriteToProgramStderr("two\n"));
  EXPECT_EQ(ReadAll(path_), "one\ntwo\n");
}

TEST_F(ProgramStderr, ATryOnAClosedStreamFails) {
  close(2);
  EXPECT_FALSE(TryWriteToProgramStderr("to nobody\n"));
}

// The program's own descriptor blocks; a try must not. If it did, the alarm would end the test.
TEST_F(ProgramStderr, ATryOnAFullPipeFailsAtOnceAndWritesNothing) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
  ASSERT_EQ(dup2(ends[1], 2), 2);
  const std::string fill(4096 - 10, 'x');
  ASSERT_EQ(write(ends[1], fill.data(), fill.size()), static_cast<ssize_t>(fill.size()));

  alarm(20);
  EXPECT_FALSE(TryWriteToProgramStderr("longer than the room that is left\n"));
  const std::string long_line(8192, 'y');
  EXPECT_FALSE(TryWriteToProgramStderr(long_line));
  alarm(0);

  std::string read_back(4096, '\0');
  EXPECT_EQ(read(ends[0], read_back.data(), read_back.size()), 4096 - 10);
  EXPECT_EQ(read_back.find_first_not_of('x'), size_t{4096 - 10});
  // With room again the line arrives; more than PIPE_BUF is cut.
  EXPECT_TRUE(TryWriteToProgramStderr("short\n"));
  EXPECT_EQ(read(ends[0], read_back.data(), read_back.size()), 6);
  EXPECT_TRUE(TryWriteToProgramStderr(long_line));
  EXPECT_EQ(read(ends[0], read_back.data(), read_back.size()), 4096);
  // The program's own descriptor still blocks.
  EXPECT_EQ(fcntl(2, F_GETFL) & O_NONBLOCK, 0);
  close(ends[0]);
  EXPECT_FALSE(TryWriteToProgramStderr("nobody reads\n"));
  close(ends[1]);
}

}  // namespace
}  // namespace uzswap::os
