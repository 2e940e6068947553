// PreloadRules: which programs can have a preload library, and the order of LD_PRELOAD.
//
//   IsGlibcLoader    the loader that reads LD_PRELOAD as uzswap needs it
//   IsAsanRuntime    AddressSanitizer's runtime, which must be the first library
//   ForEachPreload   the entries of LD_PRELOAD
//   kRunnerNote      an ELF note that tells `uzswap` from other static programs: it starts its
//                    command with the library itself (docs/decisions/0031)
//
// For the code that inspects executables: the command line tool and the preload library. Pure
// functions; nothing allocates.
#ifndef UZSWAP_OS_PRELOAD_RULES_H_
#define UZSWAP_OS_PRELOAD_RULES_H_

#include <elf.h>

#include <string_view>

namespace uzswap::os {

#if defined(__x86_64__)
inline constexpr Elf64_Half kOwnMachine = EM_X86_64;
#elif defined(__aarch64__)
inline constexpr Elf64_Half kOwnMachine = EM_AARCH64;
#elif defined(__riscv)
inline constexpr Elf64_Half kOwnMachine = EM_RISCV;
#endif

// glibc's loaders are called ld-linux-ARCH.so.N (on some architectures ld64.so.N), in any folder.
inline bool IsGlibcLoader(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.rfind("ld-linux", 0) == 0 || name.rfind("ld64.so", 0) == 0;
}

struct RunnerNote {
  Elf64_Nhdr header;
  char name[8];
};
inline constexpr RunnerNote kRunnerNote = {{sizeof("uzswap"), 0, 1}, "uzswap"};
inline constexpr size_t kNotesBytesMax = 512;  // that are searched of one segment

// `notes` is the content of a PT_NOTE segment.
inline bool HasRunnerNote(std::string_view notes) {
  const std::string_view wanted(reinterpret_cast<const char*>(&kRunnerNote), sizeof(kRunnerNote));
  return notes.find(wanted) != std::string_view::npos;
}

inline bool IsAsanRuntime(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.rfind("libasan.so", 0) == 0 || name.rfind("libclang_rt.asan", 0) == 0;
}

// Calls visit(entry) for each entry of a list of libraries.
template <typename Visitor>
void ForEachPreload(std::string_view list, Visitor&& visit) {
  while (!list.empty()) {
    const size_t end = list.find_first_of(": ");
    if (end != 0) visit(list.substr(0, end));
    if (end == std::string_view::npos) return;
    list.remove_prefix(end + 1);
  }
}

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PRELOAD_RULES_H_
