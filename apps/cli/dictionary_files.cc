#include "dictionary_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "os/read_file.h"
#include "replace_file.h"
#include "train/dictionary_file.h"

namespace uzswap::cli {
namespace {

constexpr mode_t kMode = 0600;
constexpr char kTrainAgain[] = "train it again: uzswap train PID -o NAME.dict";

Refusal Unreadable(const std::string& path, int failure) {
  return {kCannotDo, "'" + path + "' cannot be read: " + strerror(failure),
          failure == ENOENT ? kTrainAgain : "chmod u+r " + path + ", or name another file"};
}

Refusal Bad(const std::string& path, const char* what, const char* fix = kTrainAgain) {
  return {kCannotDo, "'" + path + "' " + what, fix};
}

std::optional<Refusal> RefusalFor(const std::string& path, DictionaryFileState state) {
  switch (state) {
    case DictionaryFileState::kGood:
      return std::nullopt;
    case DictionaryFileState::kNotADictionary:
      return Bad(path, "is not a dictionary of uzswap",
                 "name a file that uzswap train has made, or make one: uzswap train PID -o"
                 " NAME.dict");
    case DictionaryFileState::kTruncated:
      return Bad(path, "is truncated: the end of the dictionary is missing");
    case DictionaryFileState::kDamaged:
      return Bad(path, "is damaged: its checksum or its content is wrong");
    case DictionaryFileState::kOtherCodec:
      return Bad(path, "is a dictionary for another codec than zstd and lz4");
    case DictionaryFileState::kNewerFormat:
      return Bad(path, "has a newer format than this version of uzswap reads",
                 "use the uzswap that made it, or train it again with this one");
  }
  return std::nullopt;
}

// At most one byte more than a dictionary can have. An errno, or 0.
int ReadSome(const std::string& path, std::vector<std::byte>& bytes) {
  // A pipe that nobody writes to would block the open.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return errno;
  struct stat status = {};
  int failure = fstat(fd, &status) != 0 ? errno : 0;
  if (failure == 0 && S_ISDIR(status.st_mode)) failure = EISDIR;
  if (failure == 0 && S_ISREG(status.st_mode)) {
    bytes.resize(kDictionaryFileMax + 1);
    char* const start = reinterpret_cast<char*>(bytes.data());
    const Result<size_t> length = os::ReadToEnd(fd, {start, bytes.size()});
    bytes.resize(length.ok() ? length.value() : 0);
    if (!length.ok()) failure = length.error().errno_value;
  }
  close(fd);
  return failure;
}

}  // namespace

OrRefusal<std::vector<std::byte>> ReadDictionaryFile(const std::string& path) {
  std::vector<std::byte> bytes;
  const int failure = ReadSome(path, bytes);
  if (failure != 0) return Unreadable(path, failure);
  const DictionaryFile file = ParseDictionaryFile(bytes);
  if (auto refusal = RefusalFor(path, file.state)) return *refusal;
  return std::vector<std::byte>(file.content.begin(), file.content.end());
}

std::optional<Refusal> WriteDictionaryFile(const std::string& path,
                                           std::span<const std::byte> content) {
  const std::vector<std::byte> file = FormatDictionaryFile(content);
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  const int failure = ReplaceFile(path, bytes, kMode);
  if (failure == 0) return std::nullopt;
  const char* const why = failure == EEXIST ? "it is not a regular file" : strerror(failure);
  return Refusal{kCannotDo, "'" + path + "' cannot be written: " + why,
                 "name a file in a folder you may write to, as in -o /var/tmp/NAME.dict"};
}

}  // namespace uzswap::cli
