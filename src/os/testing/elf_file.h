// ElfFile: a small ELF file of 64 bits, for tests of those who read executables.
//
//   0        64               288        ...
//   | header | 4 segments     | interpreter, names, dynamic entries, notes |
//
// It cannot be executed. The fields that a test wants to be wrong can be changed in `bytes()`.
#ifndef UZSWAP_OS_TESTING_ELF_FILE_H_
#define UZSWAP_OS_TESTING_ELF_FILE_H_

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "os/preload_rules.h"

namespace uzswap::os {

class ElfFile {
 public:
  // An empty `interpreter` makes a static file. `needed`: the libraries of DT_NEEDED.
  explicit ElfFile(const std::string& interpreter, const std::vector<std::string>& needed = {},
                   const std::string& notes = {}) {
    std::string names(1, '\0');
    std::vector<Elf64_Dyn> dynamic;
    for (const std::string& library : needed) {
      dynamic.push_back(Entry(DT_NEEDED, names.size()));
      names += library + '\0';
    }
    const uint64_t interpreter_at = sizeof(Elf64_Ehdr) + kSegments * sizeof(Elf64_Phdr);
    const uint64_t names_at = interpreter_at + interpreter.size() + 1;
    const uint64_t dynamic_at = names_at + names.size();
    dynamic.push_back(Entry(DT_STRTAB, kLoadedAt + names_at));
    dynamic.push_back(Entry(DT_NULL, 0));

    Elf64_Ehdr header{};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_machine = kOwnMachine;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = kSegments;
    Append(&header, sizeof(header));
    const uint64_t dynamic_bytes = dynamic.size() * sizeof(Elf64_Dyn);
    const uint64_t notes_at = dynamic_at + dynamic_bytes;
    AppendSegment(PT_LOAD, 0, notes_at + notes.size());
    AppendSegment(interpreter.empty() ? PT_NULL : PT_INTERP, interpreter_at,
                  interpreter.size() + 1);
    AppendSegment(needed.empty() ? PT_NULL : PT_DYNAMIC, dynamic_at, dynamic_bytes);
    AppendSegment(notes.empty() ? PT_NULL : PT_NOTE, notes_at, notes.size());
    Append(interpreter.c_str(), interpreter.size() + 1);
    Append(names.data(), names.size());
    Append(dynamic.data(), dynamic_bytes);
    Append(notes.data(), notes.size());
  }

  [[nodiscard]] std::string& bytes() { return bytes_; }
  [[nodiscard]] Elf64_Ehdr& header() { return *reinterpret_cast<Elf64_Ehdr*>(bytes_.data()); }

 private:
  static constexpr int kSegments = 4;
  static constexpr uint64_t kLoadedAt = 0x400000;

  static Elf64_Dyn Entry(int64_t tag, uint64_t value) {
    Elf64_Dyn entry{};
    entry.d_tag = tag;
    entry.d_un.d_val = value;
    return entry;
  }
  void Append(const void* data, size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
  }
  void AppendSegment(uint32_t type, uint64_t offset, uint64_t size) {
    Elf64_Phdr segment{};
    segment.p_type = type;
    segment.p_offset = offset;
    segment.p_vaddr = kLoadedAt + offset;
    segment.p_filesz = size;
    Append(&segment, sizeof(segment));
  }

  std::string bytes_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_ELF_FILE_H_
