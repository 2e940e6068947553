#include "os/procfs.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "base/check.h"
#include "base/parse_size.h"
#include "os/program.h"
#include "os/read_file.h"
#include "os/text_line.h"
#include "os/uffd_abi.h"

namespace uzswap::os {
namespace {

// A cursor over a text, which does not need a zero byte at its end.
class Scanner {
 public:
  Scanner(const char* text, size_t length) : at_(text), end_(text + length) {}

  bool Hex(uint64_t* value) { return Number(value, 16); }
  bool Decimal(uint64_t* value) { return Number(value, 10); }
  bool Character(char expected) {
    if (at_ == end_ || *at_ != expected) return false;
    ++at_;
    return true;
  }
  // The next character, or 0 at the end.
  char Take() { return at_ == end_ ? '\0' : *at_++; }
  void SkipSpaces() {
    while (at_ != end_ && *at_ == ' ') ++at_;
  }
  void SkipWord() {
    while (at_ != end_ && *at_ != ' ') ++at_;
  }
  [[nodiscard]] bool StartsWith(const char* prefix) const {
    const size_t length = strlen(prefix);
    return static_cast<size_t>(end_ - at_) >= length && memcmp(at_, prefix, length) == 0;
  }

 private:
  static int DigitOf(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return 99;
  }
  bool Number(uint64_t* value, int base) {
    uint64_t result = 0;
    const char* begin = at_;
    while (at_ != end_ && DigitOf(*at_) < base) {
      result = result * static_cast<uint64_t>(base) + static_cast<uint64_t>(DigitOf(*at_++));
    }
    *value = result;
    return at_ != begin;
  }

  const char* at_;
  const char* end_;
};

// "<thread>/<leaf>"
TextLine<32> TaskPath(uint32_t thread, const char* leaf) {
  TextLine<32> path;
  path.Decimal(thread).Text("/").Text(leaf);
  return path;
}

}  // namespace

ProcFile::~ProcFile() { Close(); }

Result<void> ProcFile::Open(const char* path, NeededFile file) {
  const Result<void> opened = OpenDirectly(path);
  if (opened.ok()) return {};
  descriptor_ = OpenByFallback(file, opened.error().errno_value);
  if (descriptor_ < 0) return opened.error();
  return {};
}

Result<void> ProcFile::OpenIn(int folder, const char* path, const char* what) {
  UZ_CHECK_LT(descriptor_, 0);
  const long opened = syscall(SYS_openat, folder, path, O_RDONLY | O_CLOEXEC, 0);
  if (opened < 0) return Error{errno, what};
  descriptor_ = static_cast<int>(opened);
  return {};
}

void ProcFile::Close() {
  if (descriptor_ >= 0) syscall(SYS_close, descriptor_);
  descriptor_ = -1;
}

Bytes MemoryReader::AnonymousBytes() const {
  char text[128];
  const long got = syscall(SYS_pread64, file_.descriptor(), text, sizeof(text), 0L);
  if (got <= 0) return Bytes(0);
  Scanner scanner(text, static_cast<size_t>(got));
  uint64_t size = 0;
  uint64_t resident = 0;
  uint64_t shared = 0;  // file and shmem pages
  if (!scanner.Decimal(&size) || !scanner.Character(' ') || !scanner.Decimal(&resident) ||
      !scanner.Character(' ') || !scanner.Decimal(&shared)) {
    return Bytes(0);
  }
  return ToBytes(PageCount(resident > shared ? resident - shared : 0));
}

Result<void> MapsReader::Begin(const char* path, NeededFile file) {
  begin_ = end_ = 0;
  finished_ = false;
  detailed_ = file == NeededFile::kSmaps;
  return file_.Open(path, file);
}

bool MapsReader::Find(uint64_t address, MapsEntry* entry) {
  abi::ProcmapQuery query{};
  query.size = sizeof(query);
  query.query_address = address;
  if (syscall(SYS_ioctl, file_.descriptor(), abi::kProcmapQuery, &query) == 0) {
    *entry = MapsEntry();
    entry->start = query.start;
    entry->end = query.end;
    entry->readable = (query.flags & abi::kProcmapReadable) != 0;
    entry->writable = (query.flags & abi::kProcmapWritable) != 0;
    entry->executable = (query.flags & abi::kProcmapExecutable) != 0;
    entry->shared = (query.flags & abi::kProcmapShared) != 0;
    entry->anonymous = query.inode == 0;
    return true;
  }
  if (errno == ENOENT) return false;
  Rewind();
  while (Next(entry)) {
    if (entry->end > address) return entry->start <= address;
  }
  return false;
}

void MapsReader::Rewind() {
  UZ_CHECK_EQ(syscall(SYS_lseek, file_.descriptor(), 0L, SEEK_SET), 0L);
  begin_ = end_ = 0;
  finished_ = false;
}

bool MapsReader::Fill() {
  memmove(buffer_, buffer_ + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const long got = syscall(SYS_read, file_.descriptor(), buffer_ + end_, sizeof(buffer_) - end_);
  if (got <= 0) return false;
  end_ += static_cast<size_t>(got);
  return true;
}

bool MapsReader::NextLine(const char** line, size_t* length) {
  while (true) {
    const char* newline = static_cast<const char*>(memchr(buffer_ + begin_, '\n', end_ - begin_));
    if (newline != nullptr) {
      *line = buffer_ + begin_;
      *length = static_cast<size_t>(newline - *line);
      begin_ += *length + 1;
      return true;
    }
    if (finished_ || !Fill()) {
      finished_ = true;
      return false;
    }
  }
}

bool MapsReader::Next(MapsEntry* entry) {
  const char* line = nullptr;
  size_t length = 0;
  bool found = false;
  while (NextLine(&line, &length)) {
    if (!found) {
      found = ParseMapsLine(line, length, entry);
      if (found && !detailed_) return true;
      continue;
    }
    constexpr std::string_view kFlags = "VmFlags:";
    const std::string_view text(line, length);
    if (!text.starts_with(kFlags)) continue;
    entry->wiped = text.find(" wf") != std::string_view::npos;
    return true;
  }
  return found;
}

std::optional<AnonymousSplit> ShareReader::Split() const {
  char text[2048];
  const long got = syscall(SYS_pread64, file_.descriptor(), text, sizeof(text), 0L);
  if (got <= 0) return {};
  const std::string_view all(text, static_cast<size_t>(got));
  const std::optional<Bytes> share = SizeOfField(all, "\nPss_Anon:");
  // Written pages are anonymous: a page of a private file mapping is copied when it is written.
  const std::optional<Bytes> exclusive = SizeOfField(all, "\nPrivate_Dirty:");
  if (!share || !exclusive) return {};
  return AnonymousSplit{*share, std::min(*share, *exclusive)};
}

bool ParseMapsLine(const char* line, size_t length, MapsEntry* entry) {
  Scanner scanner(line, length);
  MapsEntry result;
  if (!scanner.Hex(&result.start) || !scanner.Character('-') || !scanner.Hex(&result.end) ||
      !scanner.Character(' ')) {
    return false;
  }
  result.readable = scanner.Take() == 'r';
  result.writable = scanner.Take() == 'w';
  result.executable = scanner.Take() == 'x';
  result.shared = scanner.Take() == 's';
  scanner.SkipSpaces();
  scanner.SkipWord();  // offset
  scanner.SkipSpaces();
  scanner.SkipWord();  // device
  scanner.SkipSpaces();
  uint64_t inode = 0;
  if (!scanner.Decimal(&inode)) return false;
  scanner.SkipSpaces();
  result.anonymous = inode == 0;
  result.stack = scanner.StartsWith("[stack]");
  result.kernel = scanner.StartsWith("[v");
  *entry = result;
  return true;
}

Result<void> TaskReader::Open() {
  const Result<void> opened = file_.Open(ProgramPath("task").c_str(), NeededFile::kTasks);
  // The path is on the stack.
  if (!opened.ok()) return Error{opened.error().errno_value, "/proc/PID/task"};
  return {};
}

void TaskReader::ForEach(void (*visit)(void* argument, uint32_t thread), void* argument) {
  struct DirectoryEntry {  // what getdents64 writes
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[1];
  };
  syscall(SYS_lseek, file_.descriptor(), 0L, SEEK_SET);
  while (true) {
    const long got = syscall(SYS_getdents64, file_.descriptor(), buffer_, sizeof(buffer_));
    if (got <= 0) return;
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer_ + at);
      Scanner scanner(entry->name, strlen(entry->name));
      uint64_t thread = 0;
      if (scanner.Decimal(&thread)) visit(argument, static_cast<uint32_t>(thread));
      at += entry->length;
    }
  }
}

std::optional<uint64_t> MaxMappings() {
  char buffer[32];
  const Result<std::string_view> text = ReadSmallFile("/proc/sys/vm/max_map_count", buffer);
  if (!text.ok()) return std::nullopt;
  return ParseDecimal(text.value().substr(0, text.value().find('\n')));
}

uint64_t ThreadDescriptorHint(uint32_t thread) {
  uint64_t head = 0;
  size_t length = 0;
  if (syscall(SYS_get_robust_list, thread, &head, &length) != 0) return 0;
  return head;
}

Result<std::string_view> TaskReader::ReadOf(uint32_t thread, const char* leaf,
                                            std::span<char> buffer) const {
  ProcFile file;
  const Result<void> opened = file.OpenAt(file_, TaskPath(thread, leaf).c_str());
  if (!opened.ok()) return opened.error();
  const long got = syscall(SYS_pread64, file.descriptor(), buffer.data(), buffer.size(), 0L);
  if (got < 0) return Error{errno, "reading a file of a thread"};
  return std::string_view(buffer.data(), static_cast<size_t>(got));
}

std::optional<uint64_t> TaskReader::FutexSleep(uint32_t thread) const {
  char buffer[96];
  const Result<std::string_view> call = ReadOf(thread, "syscall", buffer);
  if (!call.ok()) return std::nullopt;
  Scanner in_call(call.value().data(), call.value().size());
  uint64_t number = 0;
  if (!in_call.Decimal(&number) || number != SYS_futex) return std::nullopt;
  // Nanoseconds on a processor, nanoseconds of waiting for one, times that it got one.
  const Result<std::string_view> times = ReadOf(thread, "schedstat", buffer);
  if (!times.ok()) return std::nullopt;
  Scanner scanner(times.value().data(), times.value().size());
  uint64_t figures[3] = {};
  for (uint64_t& figure : figures) {
    scanner.SkipSpaces();
    if (!scanner.Decimal(&figure)) return std::nullopt;
  }
  return figures[2];
}

int TaskReader::ProcessorOf(uint32_t thread) const {
  char buffer[512];
  const Result<std::string_view> text = ReadOf(thread, "stat", buffer);
  if (!text.ok()) return -1;
  // Fields are counted from the last closing parenthesis: the name may contain any character.
  const size_t name_end = text.value().rfind(')');
  if (name_end == std::string_view::npos) return -1;
  const std::string_view fields = text.value().substr(name_end + 1);
  Scanner scanner(fields.data(), fields.size());
  constexpr int kFieldsBetween = 36;  // state is field 3, processor field 39
  for (int i = 0; i < kFieldsBetween; ++i) {
    scanner.SkipSpaces();
    scanner.SkipWord();
  }
  scanner.SkipSpaces();
  uint64_t processor = 0;
  return scanner.Decimal(&processor) ? static_cast<int>(processor) : -1;
}

}  // namespace uzswap::os
