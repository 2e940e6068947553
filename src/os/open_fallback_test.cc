#include "os/open_fallback.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <gtest/gtest.h>

#include "os/procfs.h"

namespace uzswap::os {
namespace {

int g_asked = 0;
int g_answer = -1;

int Answer(NeededFile) {
  ++g_asked;
  return g_answer;
}

TEST(OpenFallback, IsAskedForWhatTheProgramCannotSeeAnyMore) {
  struct Case {
    int open_errno;
    bool asked;
  };
  const Case cases[] = {{ENOENT, true},  {ESRCH, true},   {EACCES, true}, {EPERM, true},
                        {EMFILE, false}, {ENFILE, false}, {EIO, false},   {0, false}};
  g_answer = 77;
  EXPECT_EQ(OpenByFallback(NeededFile::kMaps, ENOENT), -1) << "none is installed";
  SetOpenFallback(Answer);
  for (const Case& c : cases) {
    g_asked = 0;
    EXPECT_EQ(OpenByFallback(NeededFile::kMaps, c.open_errno), c.asked ? 77 : -1) << c.open_errno;
    EXPECT_EQ(g_asked, c.asked ? 1 : 0) << c.open_errno;
  }
  SetOpenFallback(nullptr);
}

int EnterOwnFolder(void*) { return chroot("/proc/self/fdinfo") == 0 ? 0 : 1; }

// How Chromium takes the file system away from its processes: one that shares the root changes it
// to a folder of /proc that is empty, and ends.
TEST(OpenFallback, IsAskedWhereTheRootIsAFolderOfAnEndedProcess) {
  if (geteuid() != 0) GTEST_SKIP() << "chroot needs root";
  const pid_t child = fork();
  if (child == 0) {
    g_answer = open("/proc/self/statm", O_RDONLY);
    alignas(16) static std::array<char, 64 << 10> stack;
    const pid_t helper =
        clone(EnterOwnFolder, stack.data() + stack.size(), CLONE_FS | SIGCHLD, nullptr);
    int status = -1;
    if (helper < 0 || waitpid(helper, &status, 0) != helper || status != 0) _exit(1);
    if (access("/proc/self/statm", R_OK) == 0) _exit(2);
    SetOpenFallback(Answer);
    MemoryReader memory;
    if (!memory.Open().ok() || g_asked != 1) _exit(3);
    _exit(memory.AnonymousBytes().raw() > 0 ? 0 : 4);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace uzswap::os
