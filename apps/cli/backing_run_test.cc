// `uzswap run` with a backing file, up to the start of the engine: a stub replaces the preload
// library.
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "testing/uzswap.h"

namespace uzswap::cli {
namespace {

using Json = nlohmann::json;
using testing::Binary;
using testing::Contains;
using testing::Ended;
using testing::ExpectRefused;
using testing::Folder;
using testing::ReadFile;
using testing::Refused;
using testing::Uzswap;
using testing::Words;

class BackingRunTest : public testing::RunTest {};

TEST_F(BackingRunTest, TheBackingFileIsMadeTakenAlongAndLeftEmpty) {
  const std::string path = folder_.path() + "/pages";
  const std::string stats = folder_.path() + "/stats.json";
  const Ended ended = Uzswap({"--limit", "64M", "--backing", path, "--backing-size", "1G",
                              "--backing-write-limit", "10G/h", "--encrypt", "--stats", stats, "--",
                              "sh", "-c", "env; echo page > $0", path});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.errors, "");
  for (const std::string& line :
       {"UZSWAP_BACKING=" + path, std::string("UZSWAP_BACKING_SIZE=1073741824"),
        std::string("UZSWAP_BACKING_WRITE_LIMIT=10737418240/h"), std::string("UZSWAP_ENCRYPT=1")}) {
    EXPECT_TRUE(Contains("\n" + ended.output, "\n" + line + "\n")) << line << ended.output;
  }
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_POOL_LIMIT")) << "a default is not passed on";
  const Json json = Json::parse(ReadFile(stats));
  EXPECT_EQ(json["backing"], path);
  EXPECT_EQ(json["pool_limit"], ((64 << 20) / 5)) << "a fifth by default";
  EXPECT_EQ(access(path.c_str(), F_OK), 0) << "it is not removed";
  EXPECT_EQ(ReadFile(path), "") << "the next run may use it";
}

TEST_F(BackingRunTest, WithoutABackingFileNothingIsSaidOfOne) {
  const Ended ended = Uzswap({"--limit", "64M", "--", "env"},
                             {"UZSWAP_BACKING=", "UZSWAP_BACKING_SIZE=", "UZSWAP_ENCRYPT=",
                              "UZSWAP_BACKING_WRITE_LIMIT=", "UZSWAP_POOL_LIMIT="});
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_BACKING"));
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_ENCRYPT"));
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_POOL_LIMIT"));
  EXPECT_TRUE(Contains(Uzswap({"--limit", "64M", "--pool-limit", "50%", "--", "env"}).output,
                       "UZSWAP_POOL_LIMIT=33554432\n"));
}

TEST_F(BackingRunTest, ARunnerFurtherDownGetsAlongWithWhatItInherits) {
  const std::string path = folder_.path() + "/pages";
  const Ended ended =
      Uzswap({"--limit", "64M", "--backing", path, "--pool-limit", "48M", "--", "sh", "-c",
              "echo page > $0; exec $1 run --limit 32M -- env", path, Binary("UZSWAP_BINARY")});
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_TRUE(Contains(ended.output, "UZSWAP_BACKING=" + path + "\n")) << ended.output;
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_POOL_LIMIT")) << "48M do not fit into 32M";
}

TEST_F(BackingRunTest, MemoryAsABackingFileGetsANote) {
  struct statfs status = {};
  if (statfs("/dev/shm", &status) != 0 || status.f_type != TMPFS_MAGIC) {
    GTEST_SKIP() << "/dev/shm is no tmpfs here";
  }
  const Ended ended = Uzswap({"--limit", "64M", "--backing", "/dev/shm", "--", "echo", "ran"});
  EXPECT_EQ(ended.output, "ran\n");
  EXPECT_TRUE(Contains(ended.errors, "uzswap does not count")) << ended.errors;
}

TEST_F(BackingRunTest, ABackingFileThatWillNotDoIsRefused) {
  const Folder& f = folder_;
  const std::string full = f.File("full", "precious");
  const Words kCommand = {"--", "echo", "ran"};
  const auto with = [&](Words words) {
    words.insert(words.end(), kCommand.begin(), kCommand.end());
    return words;
  };
  const std::string path = f.path();
  const Refused kTable[] = {
      {"full", with({"--backing", full}), 125, "not an empty file", "remove it or name a folder"},
      {"no folder", with({"--backing", path + "/no/x"}), 125, "no folder", "mkdir -p"},
      {"kind", with({"--backing", "/dev/null"}), 125, "neither a file nor", "/var/tmp"},
      {"no path", with({"--backing", ""}), 125, "path is empty", "/var/tmp"},
      {"long", with({"--backing", "/" + std::string(5000, 'a')}), 125, "too long", "--backing"},
      {"size alone", with({"--backing-size", "1G"}), 125, "without --backing", "add --backing"},
      {"writes alone", with({"--backing-write-limit", "1G"}), 125, "without --backing", "unset"},
      {"encrypt alone", with({"--encrypt"}), 125, "without --backing", "UZSWAP_ENCRYPT"},
      {"size", with({"--backing", path, "--backing-size", "1K"}), 125, "least is 1M", "4G"},
      {"period", with({"--backing", path, "--backing-write-limit", "1G/y"}), 125, "period", "/d"},
      {"pool", with({"--limit", "64M", "--pool-limit", "65M"}), 125, "than the limit", "20%"},
      {"share", with({"--pool-limit", "120%"}), 125, "1% to 100%", "20%"},
      {"command first", {"--backing", full, "--", "no-such-command"}, 127, "not found", ""},
  };
  for (const Refused& row : kTable) ExpectRefused(row);
  EXPECT_EQ(ReadFile(full), "precious");
}

}  // namespace
}  // namespace uzswap::cli
