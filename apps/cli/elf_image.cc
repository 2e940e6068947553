#include "elf_image.h"

#include <elf.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <vector>

#include "os/preload_rules.h"

namespace uzswap::cli {
namespace {

constexpr size_t kInterpreterMax = 4096;
constexpr size_t kProgramHeadersMax = 1024;

template <typename T>
bool ReadAt(int fd, uint64_t offset, T* into, size_t count = 1) {
  const size_t bytes = sizeof(T) * count;
  return pread(fd, into, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

std::string MachineName(const Elf64_Ehdr& header) {
  // e_machine has the same offset in both classes.
  switch (header.e_machine) {
    case EM_386:
      return "32-bit x86";
    case EM_X86_64:
      return header.e_ident[EI_CLASS] == ELFCLASS64 ? "x86-64" : "x32";
    case EM_ARM:
      return "32-bit ARM";
    case EM_AARCH64:
      return "arm64";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "POWER";
    case EM_S390:
      return "s390";
    default:
      return "machine number " + std::to_string(header.e_machine);
  }
}

bool IsOurs(const Elf64_Ehdr& header) {
  constexpr unsigned char kOwnData =
      __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
  return header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == kOwnData &&
         header.e_machine == os::kOwnMachine;
}

using Segments = std::vector<Elf64_Phdr>;

// Empty if the headers are broken.
Segments ReadSegments(int fd, const Elf64_Ehdr& header) {
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kProgramHeadersMax) return {};
  Segments segments(header.e_phnum);
  if (!ReadAt(fd, header.e_phoff, segments.data(), segments.size())) return {};
  return segments;
}

bool IsRunner(int fd, const Segments& segments) {
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_NOTE || segment.p_filesz > os::kNotesBytesMax) continue;
    std::string notes(segment.p_filesz, '\0');
    if (!ReadAt(fd, segment.p_offset, notes.data(), notes.size())) continue;
    if (os::HasRunnerNote(notes)) return true;
  }
  return false;
}

enum class Search : uint8_t { kFound, kAbsent, kBroken };

Search FindInterpreter(int fd, const Segments& segments, std::string* interpreter) {
  if (segments.empty()) return Search::kBroken;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_filesz < 2 || segment.p_filesz > kInterpreterMax) return Search::kBroken;
    std::string text(segment.p_filesz, '\0');
    if (!ReadAt(fd, segment.p_offset, text.data(), text.size())) return Search::kBroken;
    *interpreter = text.c_str();
    return Search::kFound;
  }
  return Search::kAbsent;
}

}  // namespace

ElfFacts InspectElf(int fd) {
  unsigned char magic[SELFMAG] = {};
  if (!ReadAt(fd, 0, magic, SELFMAG) || memcmp(magic, ELFMAG, SELFMAG) != 0) {
    return {ElfKind::kNotElf, ""};
  }
  // The 32-bit header is shorter, but its first 20 bytes, up to e_machine, are the same.
  Elf64_Ehdr header = {};
  const ssize_t got = pread(fd, &header, sizeof(header), 0);
  if (got < 20) return {ElfKind::kBroken, ""};
  if (!IsOurs(header)) return {ElfKind::kOtherMachine, MachineName(header)};
  if (got < static_cast<ssize_t>(sizeof(header))) return {ElfKind::kBroken, ""};
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return {ElfKind::kNotAProgram, ""};

  std::string interpreter;
  const Segments segments = ReadSegments(fd, header);
  switch (FindInterpreter(fd, segments, &interpreter)) {
    case Search::kBroken:
      return {ElfKind::kBroken, ""};
    case Search::kAbsent:
      return {IsRunner(fd, segments) ? ElfKind::kRunner : ElfKind::kStatic, ""};
    case Search::kFound:
      break;
  }
  return {os::IsGlibcLoader(interpreter) ? ElfKind::kGlibc : ElfKind::kOtherLibrary, interpreter};
}

}  // namespace uzswap::cli
