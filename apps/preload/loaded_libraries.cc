#include "loaded_libraries.h"

#include <link.h>

#include <cstring>

#include "elf_symbols.h"

namespace uzswap {
namespace {

struct Instrumentation {
  const char* mark;  // how the name of a library begins, or a function of a static runtime
  const char* name;
};

constexpr Instrumentation kLibraries[] = {
    {"libasan.so", "AddressSanitizer"},
    {"libclang_rt.asan", "AddressSanitizer"},
    {"liblsan.so", "LeakSanitizer"},
    {"libclang_rt.lsan", "LeakSanitizer"},
    {"libtsan.so", "ThreadSanitizer"},
    {"libclang_rt.tsan", "ThreadSanitizer"},
    {"libhwasan.so", "HWAddressSanitizer"},
    {"libclang_rt.hwasan", "HWAddressSanitizer"},
    {"libclang_rt.memprof", "a memory profiler"},
    {"vgpreload_", "valgrind"},
};

constexpr Instrumentation kFunctions[] = {
    {"__asan_init", "AddressSanitizer"}, {"__lsan_init", "LeakSanitizer"},
    {"__tsan_init", "ThreadSanitizer"},  {"__hwasan_init", "HWAddressSanitizer"},
    {"__msan_init", "MemorySanitizer"},
};

const link_map* First() { return _r_debug.r_map; }

const link_map* Own() {
  const link_map* library = First();
  while (library != nullptr && library->l_ld != _DYNAMIC) library = library->l_next;
  return library;
}

const char* LeafOf(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

bool BeginsWith(const char* text, const char* beginning) {
  return strncmp(text, beginning, strlen(beginning)) == 0;
}

}  // namespace

const void* NextFunction(const char* name) {
  const link_map* library = Own();
  if (library == nullptr) return nullptr;
  for (library = library->l_next; library != nullptr; library = library->l_next) {
    const void* found = ElfSymbols(library->l_addr, library->l_ld).FindFunction(name);
    if (found != nullptr) return found;
  }
  return nullptr;
}

const char* OwnLibraryPath() {
  const link_map* library = Own();
  return library == nullptr ? nullptr : library->l_name;
}

const char* FindInstrumentation() {
  for (const link_map* library = First(); library != nullptr; library = library->l_next) {
    for (const Instrumentation& tool : kLibraries) {
      if (BeginsWith(LeafOf(library->l_name), tool.mark)) return tool.name;
    }
  }
  // A static runtime is part of the executable, the first of the list.
  const link_map* executable = First();
  if (executable == nullptr) return nullptr;
  const ElfSymbols symbols(executable->l_addr, executable->l_ld);
  for (const Instrumentation& tool : kFunctions) {
    if (symbols.FindFunction(tool.mark) != nullptr) return tool.name;
  }
  // gcc does not export the functions of a static runtime. All of them have this weak hook.
  if (symbols.Imports("__sanitizer_malloc_hook")) return "a sanitizer";
  return nullptr;
}

}  // namespace uzswap
