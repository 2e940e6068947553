#include "os/executable_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "os/preload_rules.h"
#include "os/read_file.h"

namespace uzswap::os {
namespace {

constexpr int kScriptLevelsMax = 5;
constexpr size_t kPathBytes = 256;  // as many bytes as the kernel reads of a script's first line
constexpr int kSegmentsMax = 64;
constexpr int kDynamicMax = 512;

// A regular file that is open for reading, or nothing.
class RegularFile {
 public:
  explicit RegularFile(const char* path) {
    // A device may not be opened just to look at it.
    if (stat(path, &status_) != 0 || !S_ISREG(status_.st_mode)) return;
    descriptor_ = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  }
  ~RegularFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  [[nodiscard]] bool exists() const { return S_ISREG(status_.st_mode); }
  [[nodiscard]] bool open_for_reading() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] const struct stat& status() const { return status_; }

  // How many bytes there are at `offset`, at most `length`.
  size_t ReadSome(uint64_t offset, void* into, size_t length) const {
    const ssize_t got = pread(descriptor_, into, length, static_cast<off_t>(offset));
    return got > 0 ? static_cast<size_t>(got) : 0;
  }
  template <typename T>
  [[nodiscard]] bool Read(uint64_t offset, T* into) const {
    return ReadSome(offset, into, sizeof(T)) == sizeof(T);
  }

 private:
  struct stat status_ = {};
  int descriptor_ = -1;
};

// A filter may end the process at a system call that the program does not make itself.
bool HasSeccompFilter() {
  char buffer[3072];
  const Result<std::string_view> text = ReadSmallFile("/proc/self/status", buffer);
  return !text.ok() || text.value().find("\nSeccomp:\t0") == std::string_view::npos;
}

// The conditions under which the kernel sets AT_SECURE.
bool GainsPrivileges(const RegularFile& file) {
  const mode_t mode = file.status().st_mode;
  if ((mode & S_ISUID) != 0 && file.status().st_uid != getuid()) return true;
  // Without the group's execute bit, setgid means mandatory locking.
  const bool set_group = (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
  if (set_group && file.status().st_gid != getgid()) return true;
  if (!file.open_for_reading() || getuid() == 0 || HasSeccompFilter()) return false;
  return fgetxattr(file.descriptor(), "security.capability", nullptr, 0) > 0;
}

// The path after "#!". Empty if the file is no script.
bool ReadInterpreter(const RegularFile& file, char (&path)[kPathBytes]) {
  char head[kPathBytes];
  const std::string_view text(head, file.ReadSome(0, head, sizeof(head)));
  if (text.substr(0, 2) != "#!") return false;
  const std::string_view line = text.substr(2, text.find('\n') - 2);
  const size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos) return false;
  const std::string_view name = line.substr(first, line.find_first_of(" \t", first) - first);
  memcpy(path, name.data(), name.size());
  path[name.size()] = '\0';
  return true;
}

// What the program headers say.
struct Segments {
  const RegularFile& file;
  Elf64_Ehdr header;
  Elf64_Phdr interpreter = {};
  Elf64_Phdr dynamic = {};

  [[nodiscard]] bool Find() {
    if (header.e_phentsize != sizeof(Elf64_Phdr)) return false;
    for (int i = 0; i < header.e_phnum && i < kSegmentsMax; ++i) {
      Elf64_Phdr segment;
      if (!ReadSegment(i, &segment)) return false;
      if (segment.p_type == PT_INTERP) interpreter = segment;
      if (segment.p_type == PT_DYNAMIC) dynamic = segment;
    }
    return true;
  }
  [[nodiscard]] bool ReadSegment(int index, Elf64_Phdr* segment) const {
    return file.Read(header.e_phoff + static_cast<uint64_t>(index) * sizeof(Elf64_Phdr), segment);
  }
  // The offset in the file of what is loaded at `address`.
  [[nodiscard]] std::optional<uint64_t> OffsetOf(uint64_t address) const {
    for (int i = 0; i < header.e_phnum && i < kSegmentsMax; ++i) {
      Elf64_Phdr segment;
      if (!ReadSegment(i, &segment)) return std::nullopt;
      const bool inside = segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
                          address - segment.p_vaddr < segment.p_filesz;
      if (inside) return address - segment.p_vaddr + segment.p_offset;
    }
    return std::nullopt;
  }
};

bool IsRunner(const Segments& elf) {
  for (int i = 0; i < elf.header.e_phnum && i < kSegmentsMax; ++i) {
    Elf64_Phdr segment;
    if (!elf.ReadSegment(i, &segment)) return false;
    if (segment.p_type != PT_NOTE) continue;
    char notes[kNotesBytesMax];
    const size_t length = std::min<size_t>(segment.p_filesz, sizeof(notes));
    if (HasRunnerNote({notes, elf.file.ReadSome(segment.p_offset, notes, length)})) return true;
  }
  return false;
}

bool HasGlibcLoader(const Segments& elf) {
  char path[kPathBytes];
  const size_t length = std::min<size_t>(elf.interpreter.p_filesz, sizeof(path));
  return IsGlibcLoader({path, elf.file.ReadSome(elf.interpreter.p_offset, path, length)});
}

bool NeedsAsan(const Segments& elf) {
  Elf64_Dyn entry;
  std::optional<uint64_t> strings;
  for (int pass = 0; pass < 2; ++pass) {
    for (uint64_t i = 0; i < kDynamicMax; ++i) {
      if (!elf.file.Read(elf.dynamic.p_offset + i * sizeof(entry), &entry)) return false;
      if (entry.d_tag == DT_NULL) break;
      if (pass == 0 && entry.d_tag == DT_STRTAB) strings = elf.OffsetOf(entry.d_un.d_ptr);
      if (pass == 0 || entry.d_tag != DT_NEEDED) continue;
      char name[64];
      const size_t got = elf.file.ReadSome(*strings + entry.d_un.d_val, name, sizeof(name));
      if (IsAsanRuntime(std::string_view(name, strnlen(name, got)))) return true;
    }
    if (!strings) return false;
  }
  return false;
}

ExecutableKind InspectElf(const RegularFile& file) {
  Segments elf{file, {}};
  if (!file.Read(0, &elf.header) || memcmp(elf.header.e_ident, ELFMAG, SELFMAG) != 0) {
    return ExecutableKind::kUnknown;
  }
  if (elf.header.e_ident[EI_CLASS] != ELFCLASS64 || elf.header.e_machine != kOwnMachine) {
    return ExecutableKind::kOtherMachine;
  }
  if (!elf.Find()) return ExecutableKind::kUnknown;
  if (elf.interpreter.p_type != PT_INTERP) {
    return IsRunner(elf) ? ExecutableKind::kRunner : ExecutableKind::kStatic;
  }
  if (!HasGlibcLoader(elf)) return ExecutableKind::kOtherLoader;
  const bool sanitized = elf.dynamic.p_type == PT_DYNAMIC && NeedsAsan(elf);
  return sanitized ? ExecutableKind::kSanitized : ExecutableKind::kPreloadable;
}

}  // namespace

ExecutableKind InspectExecutable(const char* path) {
  char interpreter[kPathBytes];
  for (int level = 0; level < kScriptLevelsMax; ++level) {
    const RegularFile file(path);
    if (!file.exists()) return ExecutableKind::kUnknown;
    if (!file.open_for_reading()) {
      return GainsPrivileges(file) ? ExecutableKind::kPrivileged : ExecutableKind::kUnknown;
    }
    if (!ReadInterpreter(file, interpreter)) {
      return GainsPrivileges(file) ? ExecutableKind::kPrivileged : InspectElf(file);
    }
    path = interpreter;
  }
  return ExecutableKind::kUnknown;
}

}  // namespace uzswap::os
