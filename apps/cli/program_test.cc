#include "program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <gtest/gtest.h>

#include "elf_image.h"
#include "os/preload_rules.h"
#include "script.h"
#include "testing/run.h"

namespace uzswap::cli {
namespace {

using testing::Folder;

constexpr char kGlibcLoader[] = "/lib64/ld-linux-x86-64.so.2";

// An ELF file with headers as a test wants them, and without code.
struct Image {
  Elf64_Ehdr header = {};
  Elf64_Phdr segment = {};
  std::string interpreter;

  explicit Image(const std::string& loader = kGlibcLoader) : interpreter(loader) {
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
#if defined(__aarch64__)
    header.e_machine = EM_AARCH64;
#else
    header.e_machine = EM_X86_64;
#endif
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(segment);
    header.e_phnum = 1;
    segment.p_type = PT_INTERP;
    segment.p_offset = sizeof(header) + sizeof(segment);
    segment.p_filesz = interpreter.size() + 1;
  }
  [[nodiscard]] std::string Bytes() const {
    std::string text(reinterpret_cast<const char*>(&header), sizeof(header));
    text.append(reinterpret_cast<const char*>(&segment), sizeof(segment));
    return text + interpreter + '\0';
  }
};

class ElfTest : public ::testing::Test {
 protected:
  ElfFacts Inspect(const std::string& bytes) const {
    const int fd = open(folder_.File("image", bytes).c_str(), O_RDONLY);
    ElfFacts facts = InspectElf(fd);
    close(fd);
    return facts;
  }
  Folder folder_;
};

TEST_F(ElfTest, TellsTheKindsApart) {
  EXPECT_EQ(Inspect(Image().Bytes()).kind, ElfKind::kGlibc);
  EXPECT_EQ(Inspect(Image("/nix/store/abc/lib/ld-linux-x86-64.so.2").Bytes()).kind,
            ElfKind::kGlibc);
  const ElfFacts musl = Inspect(Image("/lib/ld-musl-x86_64.so.1").Bytes());
  EXPECT_EQ(musl.kind, ElfKind::kOtherLibrary);
  EXPECT_EQ(musl.detail, "/lib/ld-musl-x86_64.so.1");

  Image image;
  image.segment.p_type = PT_LOAD;
  EXPECT_EQ(Inspect(image.Bytes()).kind, ElfKind::kStatic);
  const std::string note(reinterpret_cast<const char*>(&os::kRunnerNote), sizeof(os::kRunnerNote));
  Image runner(note);
  runner.segment.p_type = PT_NOTE;
  EXPECT_EQ(Inspect(runner.Bytes()).kind, ElfKind::kRunner);
  image.header.e_type = ET_REL;
  EXPECT_EQ(Inspect(image.Bytes()).kind, ElfKind::kNotAProgram);
  image.header.e_machine = EM_PPC64;
  const ElfFacts other = Inspect(image.Bytes());
  EXPECT_EQ(other.kind, ElfKind::kOtherMachine);
  EXPECT_EQ(other.detail, "POWER");
}

TEST_F(ElfTest, A32BitProgramIsOfAnotherMachine) {
  Elf32_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = EM_386;
  const std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  EXPECT_EQ(Inspect(bytes).detail, "32-bit x86");
}

TEST_F(ElfTest, BelievesNothing) {
  EXPECT_EQ(Inspect("").kind, ElfKind::kNotElf);
  EXPECT_EQ(Inspect("#!/bin/sh\n").kind, ElfKind::kNotElf);
  const std::string whole = Image().Bytes();
  for (size_t length = 4; length < whole.size(); ++length) {
    EXPECT_EQ(Inspect(whole.substr(0, length)).kind, ElfKind::kBroken) << length;
  }
  Image image;
  image.header.e_phoff = UINT64_MAX - 8;
  EXPECT_EQ(Inspect(image.Bytes()).kind, ElfKind::kBroken);
  image = Image();
  image.header.e_phnum = UINT16_MAX;
  EXPECT_EQ(Inspect(image.Bytes()).kind, ElfKind::kBroken);
  image = Image();
  image.segment.p_filesz = UINT64_MAX;
  EXPECT_EQ(Inspect(image.Bytes()).kind, ElfKind::kBroken);
  image.segment.p_filesz = 0;
  EXPECT_EQ(Inspect(image.Bytes()).kind, ElfKind::kBroken);
}

TEST(ScriptTest, ReadsTheFirstLine) {
  EXPECT_EQ(ParseScript("#!/bin/sh\necho")->interpreter, "/bin/sh");
  EXPECT_EQ(ParseScript("#! \t/bin/sh -e \n")->interpreter, "/bin/sh");
  EXPECT_EQ(ParseScript("#!/bin/sh")->interpreter, "/bin/sh");
  EXPECT_FALSE(ParseScript("#!/bin/sh env")->env_command.has_value());
  for (const char* none : {"", "#", "#!", "#!\n/bin/sh", "#! \n", "echo", " #!/bin/sh"}) {
    EXPECT_FALSE(ParseScript(none).has_value()) << none;
  }
}

TEST(ScriptTest, KnowsWhatEnvWillLookFor) {
  EXPECT_EQ(ParseScript("#!/usr/bin/env python3\n")->env_command, "python3");
  EXPECT_EQ(ParseScript("#!/usr/bin/env -S A=b node --flag\n")->env_command, "node");
  EXPECT_EQ(ParseScript("#!/usr/bin/env -S -i node\n")->env_command, "node");
  EXPECT_EQ(ParseScript("#!/usr/bin/env two words\n")->env_command, "two words");
  EXPECT_FALSE(ParseScript("#!/usr/bin/env -i\n")->env_command.has_value());
  EXPECT_FALSE(ParseScript("#!/usr/bin/env\n")->env_command.has_value());
}

class ProgramTest : public ::testing::Test {
 protected:
  [[nodiscard]] OrRefusal<Program> Find(const std::string& name) const {
    return FindProgram(name, folder_.path() + "/a:" + folder_.path() + "/b:/usr/bin:/bin");
  }
  void ExpectRefusal(const std::string& name, int status, const std::string& cause) const {
    const auto outcome = Find(name);
    const Refusal* refusal = RefusalOf(outcome);
    ASSERT_NE(refusal, nullptr) << name;
    EXPECT_EQ(refusal->status, status) << refusal->cause;
    EXPECT_NE(refusal->cause.find(cause), std::string::npos) << refusal->cause;
  }
  void ExpectFound(const std::string& name, const std::string& path, bool shell = false) const {
    const auto outcome = Find(name);
    const Program* program = std::get_if<Program>(&outcome);
    ASSERT_NE(program, nullptr) << name << ": " << RefusalOf(outcome)->cause;
    EXPECT_EQ(program->path, path);
    EXPECT_EQ(program->through_shell, shell);
  }
  Folder folder_;
};

TEST_F(ProgramTest, SearchesPathAsTheShellDoes) {
  const std::string second = folder_.File("b/tool", Image().Bytes());
  ExpectFound("tool", second);
  ExpectFound(second, second);
  folder_.File("a/tool", Image().Bytes(), 0644);
  ExpectFound("tool", second);
  folder_.File("a/only", Image().Bytes(), 0644);
  ExpectRefusal("only", kCannotExecute, "Permission denied");
  ExpectRefusal("nowhere", kNotFound, "was not found in PATH");
  ExpectRefusal(folder_.path() + "/nowhere", kNotFound, "was not found");
  ExpectRefusal(second + "/below", kNotFound, "was not found");
  ExpectRefusal("", kNotFound, "was not found");
  ExpectRefusal(folder_.path(), kCannotExecute, "is a directory");
  ExpectRefusal("/dev/null", kCannotExecute, "cannot be executed");
}

TEST_F(ProgramTest, RefusesWhatCannotBePreloaded) {
  Image image;
  image.segment.p_type = PT_LOAD;
  ExpectRefusal(folder_.File("static", image.Bytes()), kCannotDo, "static binary");
  image.header.e_machine = EM_PPC64;
  ExpectRefusal(folder_.File("other", image.Bytes()), kCannotDo, "another architecture (POWER)");
  ExpectRefusal(folder_.File("musl", Image("/lib/ld-musl-x86_64.so.1").Bytes()), kCannotDo,
                "not glibc's");
  ExpectRefusal(folder_.File("setuid", Image().Bytes(), 04755), kCannotDo, "is setuid");
  ExpectRefusal(folder_.File("setgid", Image().Bytes(), 02755), kCannotDo, "is setgid");
  ExpectFound(folder_.File("locking", Image().Bytes(), 02745), folder_.path() + "/locking");
  ExpectRefusal(folder_.File("damaged", Image().Bytes().substr(0, 70)), kCannotExecute, "damaged");
}

TEST_F(ProgramTest, RefusesFileCapabilities) {
  const std::string path = folder_.File("capable", Image().Bytes());
  // Version 2, effective, CAP_NET_RAW.
  const uint32_t value[] = {0x02000001, 1u << 13, 0, 0, 0};
  if (setxattr(path.c_str(), "security.capability", value, sizeof(value), 0) != 0) {
    GTEST_SKIP() << "setting file capabilities needs root: " << strerror(errno);
  }
  ExpectRefusal(path, kCannotDo, "has file capabilities");
}

TEST_F(ProgramTest, FollowsScriptsToTheirInterpreter) {
  folder_.File("b/good", Image().Bytes());
  Image image;
  image.segment.p_type = PT_LOAD;
  folder_.File("b/static", image.Bytes());
  const std::string& at = folder_.path();
  ExpectFound(folder_.File("s1", "#!" + at + "/b/good\n"), at + "/s1");
  ExpectFound(folder_.File("s2", "#!" + at + "/s1\n"), at + "/s2");
  ExpectFound(folder_.File("s3", "#!/usr/bin/env good\n"), at + "/s3");
  ExpectFound(folder_.File("s4", "echo no first line\n"), at + "/s4", true);
  ExpectFound(folder_.File("s5", ""), at + "/s5", true);
  ExpectRefusal(folder_.File("r1", "#!" + at + "/b/static\n"), kCannotDo,
                "static binary: without the dynamic loader");
  ExpectRefusal(folder_.File("r2", "#!/usr/bin/env static\n"), kCannotDo, "which the script '");
  ExpectRefusal(folder_.File("r3", "#!" + at + "/nowhere\n"), kNotFound, "was not found");
  ExpectRefusal(folder_.File("r4", "#!/usr/bin/env nowhere\n"), kNotFound, "not found in PATH");
  ExpectRefusal(folder_.File("r5", "#!" + at + "/r5\n"), kCannotExecute, "too many levels");
  ExpectRefusal(folder_.File("r6", "#!" + at + "\n"), kCannotExecute, "is a directory");
  ExpectRefusal(folder_.File("r7", "#!" + at + "/s4\n"), kCannotExecute, "is not a program");
}

}  // namespace
}  // namespace uzswap::cli
