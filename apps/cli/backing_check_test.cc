// Where a backing file may be, and the message if it may not be there.
#include "backing_check.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <gtest/gtest.h>

#include "base/check.h"
#include "os/backing_file.h"
#include "session/options.h"
#include "testing/run.h"

namespace uzswap::cli {
namespace {

using testing::Folder;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

ProvedBacking Proved(const std::string& path, bool may_be_taken = false) {
  const auto outcome = ProveBacking(path, may_be_taken);
  const Refusal* refusal = RefusalOf(outcome);
  EXPECT_EQ(refusal, nullptr) << refusal->cause;
  return refusal == nullptr ? std::get<ProvedBacking>(outcome) : ProvedBacking{};
}

void ExpectRefused(const std::string& path, const std::string& cause, const std::string& fix) {
  const auto outcome = ProveBacking(path, false);
  const Refusal* refusal = RefusalOf(outcome);
  ASSERT_NE(refusal, nullptr) << path;
  EXPECT_EQ(refusal->status, kCannotDo);
  EXPECT_EQ(refusal->cause.rfind("--backing: ", 0), 0u) << refusal->cause;
  EXPECT_TRUE(Contains(refusal->cause, cause)) << path << ": " << refusal->cause;
  EXPECT_TRUE(Contains(refusal->fix, fix)) << path << ": " << refusal->fix;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

class BackingCheckTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string In(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  void Link(const std::string& target, const std::string& name) const {
    UZ_CHECK_EQ(symlink(target.c_str(), In(name).c_str()), 0);
  }
  Folder folder_;
};

TEST_F(BackingCheckTest, AFolderIsLeftAsItWas) {
  const ProvedBacking proved = Proved(folder_.path());
  EXPECT_EQ(proved.path, folder_.path());
  EXPECT_EQ(proved.inode, 0u);
  EXPECT_TRUE(EmptyBacking(proved));
  EXPECT_EQ(rmdir(folder_.path().c_str()), 0) << "nothing is left in it";
  UZ_CHECK_EQ(mkdir(folder_.path().c_str(), 0755), 0);
}

TEST_F(BackingCheckTest, ANewFileIsMadeAndStays) {
  const ProvedBacking proved = Proved(In("new"));
  EXPECT_EQ(proved.path, In("new"));
  EXPECT_NE(proved.inode, 0u);
  EXPECT_TRUE(Exists(In("new")));
  EXPECT_EQ(Proved(In("new")).inode, proved.inode) << "empty, it serves again";
}

TEST_F(BackingCheckTest, PathsBecomeAbsoluteAndLoseTheirLinks) {
  Link(folder_.path(), "link");
  EXPECT_EQ(Proved(In("link")).path, folder_.path());
  EXPECT_EQ(Proved(In("link/new")).path, In("new"));
  const int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(chdir(folder_.path().c_str()), 0);
  EXPECT_EQ(Proved(".").path, folder_.path());
  EXPECT_EQ(Proved("relative").path, In("relative"));
  ASSERT_EQ(fchdir(before), 0);
  close(before);
}

TEST_F(BackingCheckTest, EachPlaceThatWillNotDoIsToldApart) {
  folder_.File("full", "precious");
  Link(In("gone"), "dangling");
  Link(In("round"), "round");
  ASSERT_EQ(mkfifo(In("pipe").c_str(), 0600), 0);
  ExpectRefused(In("no/file"), "there is no folder '" + In("no") + "'", "mkdir -p " + In("no"));
  ExpectRefused(In("no/"), "there is no folder", "mkdir -p " + In("no"));
  ExpectRefused(In("full"), "is not an empty file", "remove it or name a folder");
  ExpectRefused(In("full/x"), "Not a directory", "/var/tmp");
  ExpectRefused(In("dangling"), "link to nothing", "remove it");
  ExpectRefused(In("round"), "symbolic links", "/var/tmp");
  ExpectRefused(In("pipe"), "neither a file nor a folder nor a block device", "/var/tmp");
  ExpectRefused("/dev/null", "neither a file nor a folder nor a block device", "/var/tmp");
  ExpectRefused(In(std::string(300, 'a')), "File name too long", "/var/tmp");
  EXPECT_EQ(testing::ReadFile(In("full")), "precious");
  EXPECT_FALSE(Exists(In("gone")));
}

TEST_F(BackingCheckTest, APathThatProcessesCannotPassOnIsRefused) {
  std::string path = folder_.path();
  while (path.size() < kBackingPathMax) {
    path += "/" + std::string(200, 'a');
    ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  }
  ExpectRefused(path, "too long", "shorter");
  ExpectRefused(path + "/new", "at most 1023", "shorter");
}

TEST_F(BackingCheckTest, ATakenFileIsRefusedUnlessItCameFromAbove) {
  Result<os::BackingFile> holder = os::BackingFile::Open(In("taken").c_str());
  ASSERT_TRUE(holder.ok());
  ExpectRefused(In("taken"), "another run", "name its folder");
  EXPECT_EQ(Proved(In("taken"), true).inode, 0u) << "the run that named it first empties it";
  folder_.File("used", "pages");
  EXPECT_EQ(Proved(In("used"), true).inode, 0u);
}

TEST_F(BackingCheckTest, AFileIsEmptiedWhenNobodyHasItAnyMore) {
  const ProvedBacking proved = Proved(In("named"));
  Result<os::BackingFile> writer = os::BackingFile::Open(proved.path.c_str(), false);
  ASSERT_TRUE(writer.ok());
  const std::byte content[16] = {};
  ASSERT_EQ(writer.value().Write(0, content), 0);
  EXPECT_FALSE(EmptyBacking(proved));
  Result<os::BackingFile> reader =
      os::BackingFile::OpenForReading(gettid(), writer.value().fd(), false);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(reader.value().ShareLock().ok());
  writer.value() = os::BackingFile();
  EXPECT_FALSE(EmptyBacking(proved)) << "somebody still reads there";
  reader.value() = os::BackingFile();
  EXPECT_EQ(testing::ReadFile(In("named")).size(), sizeof(content));
  EXPECT_TRUE(EmptyBacking(proved));
  EXPECT_EQ(testing::ReadFile(In("named")), "");
  Proved(In("named"));
}

TEST_F(BackingCheckTest, AnotherFileOfThatNameIsNotEmptied) {
  const ProvedBacking proved = Proved(In("named"));
  folder_.File("other", "precious");
  ASSERT_EQ(rename(In("other").c_str(), In("named").c_str()), 0);
  EXPECT_TRUE(EmptyBacking(proved));
  EXPECT_EQ(testing::ReadFile(In("named")), "precious");
  ASSERT_EQ(unlink(In("named").c_str()), 0);
  EXPECT_TRUE(EmptyBacking(proved));
  EXPECT_FALSE(Exists(In("named")));
}

TEST_F(BackingCheckTest, AFileSystemInMemoryGetsANote) {
  for (const char* place : {"/dev/shm", "/var/tmp", "/tmp"}) {
    struct statfs status = {};
    if (statfs(place, &status) != 0) continue;
    const std::string note = Proved(place).note;
    EXPECT_EQ(Contains(note, "uzswap does not count"), status.f_type == TMPFS_MAGIC) << place;
    EXPECT_EQ(note.empty(), status.f_type != TMPFS_MAGIC) << note;
  }
}

TEST_F(BackingCheckTest, WithoutPermissionTheFixSaysSo) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  folder_.File("closed", "", 0644);
  ASSERT_EQ(mkdir(In("private").c_str(), 0700), 0);
  ASSERT_EQ(seteuid(65534), 0);
  ExpectRefused(folder_.path(), "Permission denied", "a folder that you own");
  ExpectRefused(In("new"), "Permission denied", "chmod or chown");
  ExpectRefused(In("closed"), "Permission denied", "chmod or chown");
  ExpectRefused(In("private/new"), "Permission denied", "chmod or chown");
  ASSERT_EQ(seteuid(0), 0);
}

// Mounts a file system on a folder; the destructor unmounts it.
class Mounted {
 public:
  Mounted(const std::string& folder, unsigned long flags, const char* options) : folder_(folder) {
    UZ_CHECK_EQ(mkdir(folder.c_str(), 0755), 0);
    done_ = mount("tmpfs", folder.c_str(), "tmpfs", flags, options) == 0;
  }
  Mounted(const Mounted&) = delete;
  ~Mounted() {
    if (done_) umount2(folder_.c_str(), MNT_DETACH);
  }
  [[nodiscard]] bool done() const { return done_; }

 private:
  std::string folder_;
  bool done_ = false;
};

TEST_F(BackingCheckTest, FileSystemsThatTakeNothingAreRefused) {
  const Mounted closed(In("closed"), MS_RDONLY, "");
  const Mounted full(In("full"), 0, "size=512k");
  if (!closed.done() || !full.done()) GTEST_SKIP() << "mounting is not permitted here";
  ExpectRefused(In("closed"), "read-only file system", "/var/tmp");
  ExpectRefused(In("closed/new"), "read-only file system", "/var/tmp");
  ExpectRefused(In("full"), "full file system", "make room");
  ExpectRefused(In("full/new"), "full file system", "make room");
  EXPECT_FALSE(Exists(In("full/new"))) << "nothing is created before the check";
}

// A block device that is backed by a file; the destructor detaches it.
class LoopDevice {
 public:
  LoopDevice(const Folder& folder, const std::string& name, off_t bytes) {
    const std::string image = folder.File(name, "");
    UZ_CHECK_EQ(truncate(image.c_str(), bytes), 0);
    if (access("/usr/sbin/losetup", X_OK) != 0) return;
    const testing::Ended made = testing::RunToEnd({"/usr/sbin/losetup", "-f", "--show", image});
    if (made.status == 0) path_ = made.output.substr(0, made.output.find('\n'));
  }
  LoopDevice(const LoopDevice&) = delete;
  ~LoopDevice() {
    if (!path_.empty()) testing::RunToEnd({"/usr/sbin/losetup", "-d", path_});
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_F(BackingCheckTest, ADeviceServesOneAtATime) {
  const LoopDevice device(folder_, "image", off_t{4} << 20);
  const LoopDevice tiny(folder_, "tiny", off_t{64} << 10);
  if (device.path().empty() || tiny.path().empty()) GTEST_SKIP() << "no loop devices here";
  EXPECT_EQ(Proved(device.path()).inode, 0u);
  ExpectRefused(tiny.path(), "less than 1 MiB", "larger");
  const Result<os::BackingFile> holder = os::BackingFile::Open(device.path().c_str());
  ASSERT_TRUE(holder.ok());
  EXPECT_EQ(holder.value().capacity(), uint64_t{4} << 20);
  ExpectRefused(device.path(), "is in use: mounted, used as swap space", "swapoff");
  EXPECT_EQ(Proved(device.path(), true).path, device.path());
}

struct Judged {
  BackingKind kind;
  int error;
  const char* cause;
};

// Errors that a test cannot cause.
TEST(WhyNotBackingTest, EveryErrnoHasASentenceAndAFix) {
  for (const Judged& row : {Judged{BackingKind::kDevice, EBUSY, "mounted, used as swap space"},
                            {BackingKind::kFile, EBUSY, "another run"},
                            {BackingKind::kFile, EDQUOT, "full file system"},
                            {BackingKind::kDevice, ENOSPC, "less than 1 MiB"},
                            {BackingKind::kFile, EPERM, "may not be written to"},
                            {BackingKind::kFile, ENOLCK, "No locks available"},
                            {BackingKind::kFile, EINVAL, "Invalid argument"},
                            {BackingKind::kDevice, ENXIO, "No such device"}}) {
    const Refusal refusal = WhyNotBacking("/x", row.kind, row.error);
    EXPECT_EQ(refusal.status, kCannotDo);
    EXPECT_TRUE(Contains(refusal.cause, row.cause)) << refusal.cause;
    EXPECT_TRUE(Contains(refusal.cause, "'/x'")) << refusal.cause;
    EXPECT_FALSE(refusal.fix.empty());
  }
}

}  // namespace
}  // namespace uzswap::cli
