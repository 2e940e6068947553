// What is opened for a path, who may write to it and who is known to read.
#include "os/backing_file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <utility>

#include "base/testing/slowness.h"
#include "os/io_port.h"
#include "os/testing/temp_directory.h"

namespace uzswap::os {
namespace {

struct alignas(kIoAlignment) Block {
  std::array<std::byte, kIoAlignment> bytes{};
};

BackingFile MustOpen(const std::string& path) {
  Result<BackingFile> file = BackingFile::Open(path.c_str());
  UZ_CHECK(file.ok());
  return std::move(file).value();
}

// Opens what `file`, of this thread's table, has open.
Result<BackingFile> ReaderOf(const BackingFile& file) {
  return BackingFile::OpenForReading(gettid(), file.fd(), file.direct());
}

nlink_t NamesOf(const BackingFile& file) {
  struct stat status = {};
  UZ_CHECK_EQ(fstat(file.fd(), &status), 0);
  return status.st_nlink;
}

// A child that ends on request. Until then it holds what the parent had open.
class Child {
 public:
  Child() {
    UZ_CHECK_EQ(pipe(go_), 0);
    pid_ = fork();
    UZ_CHECK(pid_ >= 0);
    if (pid_ != 0) return;
    close(go_[1]);
    char c = 0;
    _exit(read(go_[0], &c, 1) == 1 ? 0 : 1);
  }
  Child(const Child&) = delete;
  ~Child() {
    close(go_[0]);
    if (pid_ > 0) End();
  }
  void End() {
    UZ_CHECK_EQ(write(go_[1], "g", 1), 1);
    close(go_[1]);
    UZ_CHECK(waitpid(std::exchange(pid_, -1), nullptr, 0) > 0);
  }

 private:
  int go_[2];
  pid_t pid_;
};

TEST(BackingFileTest, InADirectoryTheFileHasNoName) {
  TempDirectory directory;
  Result<BackingFile> file = BackingFile::Open(directory.path().c_str());
  ASSERT_TRUE(file.ok()) << file.error().what;
  struct stat status = {};
  ASSERT_EQ(fstat(file.value().fd(), &status), 0);
  EXPECT_EQ(status.st_nlink, 0u);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(file.value().capacity(), UINT64_MAX);
}

TEST(BackingFileTest, ADirectoryServesMany) {
  TempDirectory directory;
  const BackingFile first = MustOpen(directory.path());
  EXPECT_TRUE(BackingFile::Open(directory.path().c_str()).ok());
}

TEST(BackingFileTest, ANamedFileIsPrivateAndStays) {
  TempDirectory directory;
  const std::string path = directory.path() + "/named";
  ASSERT_TRUE(BackingFile::Open(path.c_str()).ok());
  struct stat status = {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_TRUE(BackingFile::Open(path.c_str()).ok()) << "empty, so it may be used again";
}

TEST(BackingFileTest, ContentIsNeverOverwritten) {
  TempDirectory directory;
  const std::string path = directory.path() + "/full";
  std::ofstream(path) << "precious";
  Result<BackingFile> file = BackingFile::Open(path.c_str());
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().errno_value, EEXIST);
  EXPECT_EQ(BackingFile::Open("/dev/null").error().errno_value, EINVAL);
  EXPECT_EQ(BackingFile::Open("/no/such/directory/file").error().errno_value, ENOENT);
}

TEST(BackingFileTest, ANamedFileHasOneWriter) {
  TempDirectory directory;
  const std::string path = directory.path() + "/named";
  BackingFile first = MustOpen(path);
  EXPECT_EQ(BackingFile::Open(path.c_str()).error().errno_value, EBUSY);
  const Block block;
  ASSERT_EQ(first.Write(0, block.bytes), 0);
  EXPECT_EQ(BackingFile::Open(path.c_str()).error().errno_value, EBUSY)
      << "that it is in use is reported before that it is full";
  first = BackingFile();
  EXPECT_EQ(BackingFile::Open(path.c_str()).error().errno_value, EEXIST);
}

TEST(BackingFileTest, AForkedChildKeepsTheNamedFileTaken) {
  TempDirectory directory;
  const std::string path = directory.path() + "/named";
  BackingFile file = MustOpen(path);
  Child child;
  file = BackingFile();
  EXPECT_EQ(BackingFile::Open(path.c_str()).error().errno_value, EBUSY);
  child.End();
  EXPECT_TRUE(BackingFile::Open(path.c_str()).ok());
}

TEST(BackingFileTest, WhoComesSecondHasAnUnlinkedFileBeside) {
  TempDirectory directory;
  const std::string path = directory.path() + "/named";
  const BackingFile first = MustOpen(path);
  Result<BackingFile> beside = BackingFile::OpenBeside(path.c_str());
  ASSERT_TRUE(beside.ok()) << beside.error().what;
  EXPECT_EQ(NamesOf(beside.value()), 0u);
  EXPECT_EQ(NamesOf(first), 1u);
  struct stat folder = {};
  struct stat file = {};
  ASSERT_EQ(stat(directory.path().c_str(), &folder), 0);
  ASSERT_EQ(fstat(beside.value().fd(), &file), 0);
  EXPECT_EQ(folder.st_dev, file.st_dev);
  EXPECT_EQ(BackingFile::OpenBeside("named").error().errno_value, EINVAL);
  EXPECT_EQ(BackingFile::OpenBeside("/no/such/folder").error().errno_value, ENOENT);
}

// For a forked child: nothing that others may read is ever opened for writing.
TEST(BackingFileTest, UnlinkedIsNeverANamedFileAndNeverADevice) {
  TempDirectory directory;
  const auto links_of = [](const BackingFile& file) {
    struct stat status {};
    EXPECT_EQ(fstat(file.fd(), &status), 0);
    return status.st_nlink;
  };
  const std::string named = directory.path() + "/named";
  for (const std::string& path : {directory.path(), named}) {
    const Result<BackingFile> file = BackingFile::OpenUnlinked(path.c_str());
    ASSERT_TRUE(file.ok()) << path;
    EXPECT_EQ(links_of(file.value()), 0u) << path;
    EXPECT_FALSE(file.value().device());
  }
  EXPECT_NE(access(named.c_str(), F_OK), 0) << "no file is left behind";
  EXPECT_FALSE(BackingFile::OpenUnlinked((directory.path() + "/none/named").c_str()).ok());
  const std::string device = directory.path() + "/device";
  if (mknod(device.c_str(), S_IFBLK | 0600, makedev(7, 250)) != 0) {
    GTEST_SKIP() << "only root makes a device node";
  }
  const Result<BackingFile> refused = BackingFile::OpenUnlinked(device.c_str());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().errno_value, ENOTSUP);
}

TEST(BackingFileTest, AnotherThreadsFileIsReadThroughItsTask) {
  TempDirectory directory;
  std::promise<std::pair<int, int>> opened;
  std::promise<void> done;
  bool direct = false;
  Block written;
  written.bytes.fill(std::byte{0x5A});
  std::thread owner([&] {
    UZ_CHECK_EQ(unshare(CLONE_FILES), 0);
    const BackingFile file = MustOpen(directory.path());
    UZ_CHECK_EQ(file.Write(0, written.bytes), 0);
    direct = file.direct();
    opened.set_value({gettid(), file.fd()});
    // Longer than the test waits for anything.
    done.get_future().wait_for(Slower(std::chrono::seconds(60)));
  });
  std::future<std::pair<int, int>> opening = opened.get_future();
  // Or the owner has not opened its file in time.
  UZ_CHECK(opening.wait_for(Slower(std::chrono::seconds(30))) == std::future_status::ready);
  const auto [task, fd] = opening.get();
  Result<BackingFile> reader = BackingFile::OpenForReading(task, fd, direct);
  done.set_value();
  owner.join();
  ASSERT_TRUE(reader.ok()) << reader.error().what;
  EXPECT_EQ(reader.value().direct(), direct);
  EXPECT_EQ(NamesOf(reader.value()), 0u);
  Block read;
  EXPECT_EQ(reader.value().Read(0, read.bytes), static_cast<int64_t>(kIoAlignment));
  EXPECT_EQ(read.bytes, written.bytes);
  EXPECT_EQ(reader.value().Write(0, written.bytes), EBADF) << "it is for reading only";
  EXPECT_EQ(BackingFile::OpenForReading(0, fd).error().errno_value, ENOENT) << "no such task";
}

TEST(BackingFileTest, DirectIsLeftAwayWhereItWasNotWanted) {
  TempDirectory directory;
  const BackingFile file = MustOpen(directory.path());
  Result<BackingFile> reader = BackingFile::OpenForReading(gettid(), file.fd(), false);
  ASSERT_TRUE(reader.ok());
  EXPECT_FALSE(reader.value().direct());
}

TEST(BackingFileTest, TheWriterKnowsWhetherOthersRead) {
  TempDirectory directory;
  BackingFile writer = MustOpen(directory.path());
  EXPECT_FALSE(writer.OthersRead());
  Result<BackingFile> reader = ReaderOf(writer);
  ASSERT_TRUE(reader.ok());
  EXPECT_FALSE(writer.OthersRead()) << "reading alone is nobody's business";
  ASSERT_TRUE(reader.value().ShareLock().ok());
  EXPECT_TRUE(writer.OthersRead());
  EXPECT_FALSE(reader.value().OthersRead()) << "one's own lock is not another's";
  {
    Result<BackingFile> second = ReaderOf(writer);
    ASSERT_TRUE(second.ok());
    ASSERT_TRUE(second.value().ShareLock().ok()) << "readers do not exclude one another";
    reader.value() = BackingFile();
    EXPECT_TRUE(writer.OthersRead());
  }
  EXPECT_FALSE(writer.OthersRead());
  EXPECT_TRUE(BackingFile().OthersRead()) << "in doubt somebody does";
  EXPECT_EQ(BackingFile().ShareLock().error().errno_value, EBADF);
}

TEST(BackingFileTest, AReadLockLastsAsLongAsAnyProcessHasIt) {
  TempDirectory directory;
  const BackingFile writer = MustOpen(directory.path());
  Result<BackingFile> reader = ReaderOf(writer);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(reader.value().ShareLock().ok());
  Child first;
  Child second;
  reader.value() = BackingFile();
  EXPECT_TRUE(writer.OthersRead());
  first.End();
  EXPECT_TRUE(writer.OthersRead()) << "one holder is left";
  second.End();
  EXPECT_FALSE(writer.OthersRead());
}

TEST(BackingFileTest, AChildThatEndsTakesNoLockWithIt) {
  TempDirectory directory;
  const BackingFile writer = MustOpen(directory.path());
  Result<BackingFile> reader = ReaderOf(writer);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(reader.value().ShareLock().ok());
  Child child;
  child.End();
  EXPECT_TRUE(writer.OthersRead()) << "the parent's open file is the same one";
}

TEST(BackingFileTest, ADescriptorIsAdoptedAsItIs) {
  TempDirectory directory;
  const BackingFile file = MustOpen(directory.path());
  const int copy = dup(file.fd());
  {
    const BackingFile adopted = BackingFile::AdoptFd(copy);
    EXPECT_EQ(adopted.fd(), copy);
    EXPECT_EQ(adopted.direct(), file.direct());
    EXPECT_EQ(adopted.capacity(), UINT64_MAX);
    const Block block;
    EXPECT_EQ(adopted.Write(0, block.bytes), 0) << "content is no obstacle";
  }
  EXPECT_LT(fcntl(copy, F_GETFD), 0) << "it was taken over";
  EXPECT_FALSE(BackingFile::AdoptFd(copy).is_open());
}

}  // namespace
}  // namespace uzswap::os
