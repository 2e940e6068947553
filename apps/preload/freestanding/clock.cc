// clock_gettime through the vDSO: code that the kernel maps into every process.
#include <elf.h>
#include <sys/syscall.h>

#include <cstdint>

#include "elf_symbols.h"
#include "freestanding.h"
#include "raw_syscall.h"

namespace {

using ClockFunction = int (*)(int clock, void* time);

// Written once, by the constructor, before there is another thread.
ClockFunction g_vdso_clock = nullptr;

}  // namespace

namespace uzswap::freestanding {

void UseVdso(const char* const* environment) {
  while (*environment != nullptr) ++environment;
  const auto* entry = reinterpret_cast<const Elf64_auxv_t*>(environment + 1);
  while (entry->a_type != AT_NULL && entry->a_type != AT_SYSINFO_EHDR) ++entry;
  // valgrind hides the vDSO, because it cannot follow the code there.
  if (entry->a_type == AT_NULL || entry->a_un.a_val == 0) return;
  const auto image = static_cast<uintptr_t>(entry->a_un.a_val);
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(image);
  const auto* segments = reinterpret_cast<const Elf64_Phdr*>(image + header->e_phoff);
  uintptr_t base = image;
  const Elf64_Dyn* dynamic = nullptr;
  for (int i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD) base = image + segments[i].p_offset - segments[i].p_vaddr;
    if (segments[i].p_type == PT_DYNAMIC) {
      dynamic = reinterpret_cast<const Elf64_Dyn*>(image + segments[i].p_offset);
    }
  }
  if (dynamic == nullptr) return;
  const ElfSymbols symbols(base, dynamic);
  g_vdso_clock = reinterpret_cast<ClockFunction>(symbols.FindFunction("__vdso_clock_gettime"));
}

}  // namespace uzswap::freestanding

extern "C" int clock_gettime(int clock, void* time) {
  using uzswap::freestanding::Checked;
  if (g_vdso_clock != nullptr) return static_cast<int>(Checked(g_vdso_clock(clock, time)));
  return static_cast<int>(Checked(
      uzswap::freestanding::RawSyscall(SYS_clock_gettime, clock, reinterpret_cast<long>(time))));
}
