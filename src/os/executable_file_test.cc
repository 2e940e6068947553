#include "os/executable_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <gtest/gtest.h>

#include "os/preload_rules.h"
#include "os/testing/elf_file.h"
#include "os/testing/temp_directory.h"

namespace uzswap::os {
namespace {

const char kGlibc[] = "/lib64/ld-linux-x86-64.so.2";

// A note of some other owner, then one that is the runner's or nearly so.
std::string Notes(bool runner) {
  RunnerNote notes[2] = {kRunnerNote, kRunnerNote};
  notes[0].name[0] = 'U';
  notes[1].header.n_type += runner ? 0 : 1;
  return {reinterpret_cast<const char*>(notes), sizeof(notes)};
}

class ExecutableFileTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes, mode_t mode = 0755) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  ExecutableKind KindOf(const std::string& bytes) {
    return InspectExecutable(Write("file", bytes).c_str());
  }

  TempDirectory folder_;
};

TEST_F(ExecutableFileTest, KindsOfElfFiles) {
  struct Case {
    const char* what;
    std::string bytes;
    ExecutableKind kind;
  };
  ElfFile other_machine(kGlibc);
  other_machine.header().e_machine = EM_S390;
  ElfFile other_class(kGlibc);
  other_class.header().e_ident[EI_CLASS] = ELFCLASS32;
  ElfFile odd_segments(kGlibc);
  odd_segments.header().e_phentsize = 32;
  ElfFile segments_outside(kGlibc);
  segments_outside.header().e_phoff = ~uint64_t{0} - 100;
  ElfFile many_segments(kGlibc);
  many_segments.header().e_phnum = 0xffff;
  const Case cases[] = {
      {"dynamic", ElfFile(kGlibc).bytes(), ExecutableKind::kPreloadable},
      {"with libraries", ElfFile(kGlibc, {"libm.so.6", "libc.so.6"}).bytes(),
       ExecutableKind::kPreloadable},
      {"static", ElfFile("").bytes(), ExecutableKind::kStatic},
      {"static, with the runner's note", ElfFile("", {}, Notes(true)).bytes(),
       ExecutableKind::kRunner},
      {"static, with another note", ElfFile("", {}, Notes(false)).bytes(), ExecutableKind::kStatic},
      {"dynamic, with the runner's note", ElfFile(kGlibc, {}, Notes(true)).bytes(),
       ExecutableKind::kPreloadable},
      {"musl", ElfFile("/lib/ld-musl-x86_64.so.1").bytes(), ExecutableKind::kOtherLoader},
      {"gcc's sanitizer", ElfFile(kGlibc, {"libm.so.6", "libasan.so.8"}).bytes(),
       ExecutableKind::kSanitized},
      {"clang's sanitizer", ElfFile(kGlibc, {"libclang_rt.asan-x86_64.so"}).bytes(),
       ExecutableKind::kSanitized},
      {"another architecture", other_machine.bytes(), ExecutableKind::kOtherMachine},
      {"32 bits", other_class.bytes(), ExecutableKind::kOtherMachine},
      {"segments of another size", odd_segments.bytes(), ExecutableKind::kUnknown},
      {"segments outside the file", segments_outside.bytes(), ExecutableKind::kUnknown},
      {"more segments than there are", many_segments.bytes(), ExecutableKind::kUnknown},
      {"cut off", ElfFile(kGlibc).bytes().substr(0, 40), ExecutableKind::kUnknown},
      {"empty", "", ExecutableKind::kUnknown},
      {"text", "hello\n", ExecutableKind::kUnknown},
  };
  for (const Case& c : cases) EXPECT_EQ(KindOf(c.bytes), c.kind) << c.what;
}

TEST_F(ExecutableFileTest, EveryPrefixOfAFileIsRead) {
  const std::string bytes = ElfFile(kGlibc, {"libasan.so.8"}).bytes();
  for (size_t length = 0; length < bytes.size(); ++length) {
    const ExecutableKind kind = KindOf(bytes.substr(0, length));
    EXPECT_NE(kind, ExecutableKind::kStatic) << length;
    EXPECT_NE(kind, ExecutableKind::kOtherMachine) << length;
  }
}

TEST_F(ExecutableFileTest, AScriptIsItsInterpreter) {
  const std::string dynamic = Write("dynamic", ElfFile(kGlibc).bytes());
  const std::string still = Write("static", ElfFile("").bytes());
  struct Case {
    const char* what;
    std::string text;
    ExecutableKind kind;
  };
  const Case cases[] = {
      {"plain", "#!" + dynamic + "\necho\n", ExecutableKind::kPreloadable},
      {"spaces and an argument", "#! \t" + still + " -e\n", ExecutableKind::kStatic},
      {"no end of line", "#!" + still, ExecutableKind::kStatic},
      {"no interpreter", "#!  \n", ExecutableKind::kUnknown},
      {"an interpreter that does not exist", "#!/nonexistent\n", ExecutableKind::kUnknown},
      {"longer than the kernel reads", "#!" + std::string(5000, 'x'), ExecutableKind::kUnknown},
  };
  for (const Case& c : cases) EXPECT_EQ(KindOf(c.text), c.kind) << c.what;
  // Scripts in a row, up to what the kernel follows, and one that names itself.
  std::string last = still;
  for (int i = 0; i < 4; ++i) last = Write("script" + std::to_string(i), "#!" + last + "\n");
  EXPECT_EQ(InspectExecutable(last.c_str()), ExecutableKind::kStatic);
  last = Write("one more", "#!" + last + "\n");
  EXPECT_EQ(InspectExecutable(last.c_str()), ExecutableKind::kUnknown);
  const std::string loop = folder_.path() + "/loop";
  EXPECT_EQ(InspectExecutable(Write("loop", "#!" + loop + "\n").c_str()), ExecutableKind::kUnknown);
}

TEST_F(ExecutableFileTest, WhatIsNoRegularFileIsNotOpened) {
  EXPECT_EQ(InspectExecutable("/nonexistent"), ExecutableKind::kUnknown);
  EXPECT_EQ(InspectExecutable(folder_.path().c_str()), ExecutableKind::kUnknown);
  EXPECT_EQ(InspectExecutable("/dev/null"), ExecutableKind::kUnknown);
  const std::string pipe = folder_.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0700), 0);
  EXPECT_EQ(InspectExecutable(pipe.c_str()), ExecutableKind::kUnknown) << "it would wait";
}

TEST_F(ExecutableFileTest, SetuidOfAnotherUserGainsPrivileges) {
  const std::string bytes = ElfFile(kGlibc).bytes();
  const std::string own = Write("own", bytes, 04755);
  EXPECT_EQ(InspectExecutable(own.c_str()), ExecutableKind::kPreloadable) << "our own user";
  const std::string group = Write("group", bytes, 02755);
  EXPECT_EQ(InspectExecutable(group.c_str()), ExecutableKind::kPreloadable) << "our own group";
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  ASSERT_EQ(chown(own.c_str(), 65534, 0), 0);
  ASSERT_EQ(chmod(own.c_str(), 04755), 0);
  EXPECT_EQ(InspectExecutable(own.c_str()), ExecutableKind::kPrivileged);
  ASSERT_EQ(chown(group.c_str(), 0, 65534), 0);
  ASSERT_EQ(chmod(group.c_str(), 02755), 0);
  EXPECT_EQ(InspectExecutable(group.c_str()), ExecutableKind::kPrivileged);
  ASSERT_EQ(chmod(group.c_str(), 02745), 0);
  EXPECT_EQ(InspectExecutable(group.c_str()), ExecutableKind::kPreloadable)
      << "without the group's execute bit it means mandatory locking";
}

}  // namespace
}  // namespace uzswap::os
