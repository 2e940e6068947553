// train: what it makes, what it prints, and what it and the reader of its files refuse.
#include "train_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <vector>

#include "base/testing/page_corpus.h"
#include "command_line.h"
#include "dictionary_files.h"
#include "testing/uzswap.h"
#include "train/dictionary_file.h"
#include "train/dictionary_trainer.h"

namespace uzswap::cli {
namespace {

using testing::Contains;
using testing::Folder;

std::string Pages(PageKind kind, size_t count) {
  std::string bytes(count * kPageSize, '\0');
  const auto out = std::as_writable_bytes(std::span(bytes.data(), bytes.size()));
  for (size_t i = 0; i < count; ++i) FillPageOf(kind, i, out.subspan(i * kPageSize, kPageSize));
  return bytes;
}

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Request Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "uzswap");
  return ParseCommandLine(static_cast<int>(words.size()), words.data());
}

TEST(TrainTest, TheCommandLineTakesAFileOrAProcess) {
  const Request file = Parse({"train", "--pages", "x", "-o", "y"});
  ASSERT_NE(std::get_if<TrainRequest>(&file), nullptr);
  EXPECT_EQ(std::get<TrainRequest>(file).pages, "x");
  EXPECT_EQ(std::get<TrainRequest>(file).output, "y");
  EXPECT_EQ(std::get<TrainRequest>(file).bytes, kDictionaryBytesDefault);
  for (const auto& words : std::vector<std::vector<const char*>>{
           {"train", "12", "-o", "y", "--size", "64K"},
           {"train", "--pid", "12", "--output", "y", "--size", "64KiB"}}) {
    const Request process = Parse(words);
    ASSERT_NE(std::get_if<TrainRequest>(&process), nullptr);
    EXPECT_EQ(std::get<TrainRequest>(process).pid, 12u);
    EXPECT_EQ(std::get<TrainRequest>(process).bytes, kDictionaryBytesMax);
  }
  for (const char* topic : {"help", "--help"}) {
    const Request help = topic[0] == '-' ? Parse({"train", topic}) : Parse({topic, "train"});
    ASSERT_NE(std::get_if<PrintRequest>(&help), nullptr);
    EXPECT_TRUE(Contains(std::get<PrintRequest>(help).text, "--size"));
  }
}

TEST(TrainTest, TheCommandLineRefuses) {
  struct Row {
    std::vector<const char*> words;
    const char* cause;
    const char* fix;
  };
  const Row kTable[] = {
      {{}, "process or a file of pages", "uzswap train PID -o NAME.dict"},
      {{"12", "--pages", "x", "-o", "y"}, "process or a file of pages", "uzswap train PID"},
      {{"0", "-o", "y"}, "process or a file of pages", "uzswap train PID"},
      {{"init", "-o", "y"}, "pid", ""},
      {{"12"}, "a file to write to", "-o NAME.dict"},
      {{"--pages", "x", "-o", ""}, "a file to write to", "-o NAME.dict"},
      {{"12", "-o", "y", "--size", "1023"}, "not between 1K and 64K", "--size 16K"},
      {{"12", "-o", "y", "--size", "65537"}, "not between 1K and 64K", "--size 16K"},
      {{"12", "-o", "y", "--size", "0"}, "'0'", "--size 16K"},
      {{"12", "-o", "y", "--size", "many"}, "'many'", "--size 16K"},
      {{"12", "-o", "y", "--sice", "1K"}, "--sice", ""},
  };
  for (const Row& row : kTable) {
    std::vector<const char*> words = row.words;
    words.insert(words.begin(), "train");
    const Request request = Parse(words);
    const auto* refusal = std::get_if<Refusal>(&request);
    ASSERT_NE(refusal, nullptr) << row.cause;
    EXPECT_TRUE(Contains(refusal->cause, row.cause)) << refusal->cause;
    EXPECT_TRUE(Contains(refusal->fix, row.fix)) << refusal->fix;
    EXPECT_EQ(refusal->status, kCannotDo);
  }
}

TEST(TrainTest, ItWritesADictionaryAndSaysWhatItGives) {
  const Folder folder;
  TrainRequest request;
  request.pages = folder.File("heap.pages", Pages(PageKind::kPointers, 400));
  request.output = folder.path() + "/heap.dict";
  request.bytes = 4096;
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(TrainCommand(request), 0);
  const std::string table = ::testing::internal::GetCapturedStdout();
  EXPECT_TRUE(Contains(table, "400 pages; trained from 300, measured on 100 others")) << table;
  EXPECT_TRUE(Contains(table, "use it: uzswap run --dictionary " + request.output)) << table;
  const auto content = ReadDictionaryFile(request.output);
  ASSERT_EQ(RefusalOf(content), nullptr);
  EXPECT_LE(std::get<0>(content).size(), 4096u);
  struct stat status = {};
  ASSERT_EQ(stat(request.output.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u) << "it has bytes of the pages";
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_FALSE(Contains(entry.path().filename(), "uzswap-")) << "a temporary file was left";
  }
}

TEST(TrainTest, ItIsMeasuredOnOtherPages) {
  // Every fourth page is of a kind that is not trained from.
  PageSample sample;
  sample.pages_there = 400;
  const std::string text = Pages(PageKind::kText, 400);
  const std::string pointers = Pages(PageKind::kPointers, 400);
  for (size_t i = 0; i < 400; ++i) {
    const std::string& from = i % kMeasuredOneIn == kMeasuredOneIn - 1 ? pointers : text;
    const auto page = std::as_bytes(std::span(from)).subspan(i * kPageSize, kPageSize);
    sample.bytes.insert(sample.bytes.end(), page.begin(), page.end());
  }
  const OrRefusal<Training> outcome = Train(sample, kDictionaryBytesDefault);
  ASSERT_EQ(RefusalOf(outcome), nullptr);
  const Training& training = std::get<Training>(outcome);
  EXPECT_EQ(training.training_pages, 300u);
  EXPECT_EQ(training.measured_pages, 100u);
  const TrainedCodec& zstd = training.codecs[1];
  EXPECT_EQ(zstd.codec, "zstd");
  EXPECT_GT(zstd.with_bytes * 100, zstd.alone_bytes * 95);
  EXPECT_TRUE(Contains(ToTable(training, "x.dict"), "It gains little here"));
}

TEST(TrainTest, PagesThatTeachNothingAreRefused) {
  const Folder folder;
  const std::string few = Pages(PageKind::kText, 12);
  for (const std::string& pages :
       {Pages(PageKind::kZero, 100), Pages(PageKind::kRandom, 100), few, few + few + few}) {
    TrainRequest request;
    request.pages = folder.File("odd.pages", pages);
    request.output = folder.path() + "/odd.dict";
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(TrainCommand(request), kCannotDo);
    const std::string message = ::testing::internal::GetCapturedStderr();
    EXPECT_TRUE(Contains(message, "at least 16 pages")) << message;
    EXPECT_TRUE(Contains(message, "fix: ")) << message;
    EXPECT_FALSE(std::filesystem::exists(request.output));
  }
}

TEST(TrainTest, ItTakesAProcess) {
  TrainRequest request;
  const Folder folder;
  request.pid = UINT32_MAX;
  request.output = folder.path() + "/none.dict";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(TrainCommand(request), kCannotDo);
  EXPECT_TRUE(Contains(::testing::internal::GetCapturedStderr(), "there is no process"));
  const OrRefusal<PageSample> self = ReadPagesOfProcess(static_cast<uint32_t>(getpid()), "train");
  if (RefusalOf(self) != nullptr) GTEST_SKIP() << RefusalOf(self)->cause;
  EXPECT_EQ(RefusalOf(Train(std::get<PageSample>(self), kDictionaryBytesDefault)), nullptr);
}

class DictionaryFilesTest : public ::testing::Test {
 protected:
  static std::vector<std::byte> Content() {
    const std::string pages = Pages(PageKind::kText, 64);
    std::vector<std::byte> content(kTrainBytesMin);
    const Result<size_t> trained = TrainDictionary(std::as_bytes(std::span(pages)), content);
    UZ_CHECK(trained.ok());
    content.resize(trained.value());
    return content;
  }
  static std::string TextOf(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  static std::string CauseOf(const std::string& path) {
    const auto read = ReadDictionaryFile(path);
    if (RefusalOf(read) == nullptr) return "";
    EXPECT_FALSE(RefusalOf(read)->fix.empty());
    EXPECT_TRUE(Contains(RefusalOf(read)->cause, path)) << "it is named";
    return RefusalOf(read)->cause;
  }

  const Folder folder_;
  const std::string path_ = folder_.path() + "/a.dict";
};

TEST_F(DictionaryFilesTest, EachFaultIsNamed) {
  const std::string good = TextOf(FormatDictionaryFile(Content()));
  const auto changed = [&good](size_t at, char to) {
    std::string text = good;
    text[at] = to;
    std::vector<std::byte> bytes(text.size());
    memcpy(bytes.data(), text.data(), text.size());
    RepairChecksum(bytes);
    return TextOf(bytes);
  };
  struct Row {
    std::string text;
    const char* cause;
  };
  const Row kTable[] = {
      {good, ""},
      {"", "is not a dictionary of uzswap"},
      {std::string(1 << 20, 'x'), "is not a dictionary of uzswap"},
      {good.substr(0, 20), "is truncated"},
      {good.substr(0, good.size() - 1), "is truncated"},
      {good + "x", "is damaged"},
      {good + std::string(1 << 20, 'x'), "is damaged"},
      {good.substr(0, good.size() - 1) + "x", "is damaged"},
      {changed(12, 1), "for another codec"},
      {changed(8, 2), "has a newer format"},
  };
  for (const Row& row : kTable) {
    const std::string cause = CauseOf(folder_.File("a.dict", row.text));
    EXPECT_TRUE(row.cause[0] == '\0' ? cause.empty() : Contains(cause, row.cause))
        << cause << " instead of " << row.cause;
  }
}

TEST_F(DictionaryFilesTest, WhatIsNoFileIsRefused) {
  EXPECT_TRUE(Contains(CauseOf(folder_.path() + "/none"), "No such file"));
  EXPECT_TRUE(Contains(CauseOf(folder_.path()), "Is a directory"));
  EXPECT_TRUE(Contains(CauseOf("/dev/null"), "is not a dictionary"));
  EXPECT_TRUE(Contains(CauseOf("/dev/zero"), "is not a dictionary")) << "it has no end";
  const std::string fifo = folder_.path() + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(Contains(CauseOf(fifo), "is not a dictionary")) << "nobody writes to it";
}

TEST_F(DictionaryFilesTest, AFileIsReplacedAsAWhole) {
  const std::string former = folder_.File("a.dict", "former");
  const std::string link = folder_.path() + "/link.dict";
  ASSERT_EQ(symlink(former.c_str(), link.c_str()), 0);
  const int reader = open(former.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_FALSE(WriteDictionaryFile(link, Content()).has_value());
  EXPECT_EQ(CauseOf(former), "");
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  char text[16] = {};
  EXPECT_EQ(read(reader, text, sizeof(text)), 6);
  EXPECT_STREQ(text, "former");
  close(reader);
}

TEST_F(DictionaryFilesTest, WhatCannotBeWrittenIsRefused) {
  struct Row {
    std::string path;
    const char* cause;
  };
  const Row kTable[] = {
      {folder_.path() + "/none/a.dict", "No such file"},
      {folder_.path(), "Is a directory"},
      {folder_.File("file", "x") + "/a.dict", "Not a directory"},
      {"/dev/null", "it is not a regular file"},
      {"/proc/self/a.dict", "cannot be written"},
  };
  for (const Row& row : kTable) {
    const auto refusal = WriteDictionaryFile(row.path, Content());
    ASSERT_TRUE(refusal.has_value()) << row.path;
    EXPECT_TRUE(Contains(refusal->cause, row.cause)) << refusal->cause;
    EXPECT_FALSE(refusal->fix.empty());
  }
}

TEST_F(DictionaryFilesTest, AFailureLeavesTheFormerFile) {
  // A link in the place of the temporary file is not followed.
  const std::string former = folder_.File("a.dict", "former");
  const std::string beside = former + ".uzswap-" + std::to_string(getpid());
  ASSERT_EQ(symlink("/dev/null", beside.c_str()), 0);
  EXPECT_TRUE(WriteDictionaryFile(former, Content()).has_value());
  EXPECT_EQ(Bytes(former), "former");
}

}  // namespace
}  // namespace uzswap::cli
