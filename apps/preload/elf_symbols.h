// ElfSymbols: the functions that a loaded ELF object exports.
//
//   DT_GNU_HASH ── bloom filter ── buckets ── chains ──> DT_SYMTAB ──> DT_STRTAB, DT_VERSYM
//
// dlsym is not used: it takes the loader's lock, and other preload libraries define it too. This
// reads the tables of an object that is already loaded. It takes no lock and writes nothing. The
// object must stay loaded. Any thread.
//
// Source of the algorithm: the GNU hash section, as the linker documents it.
#ifndef UZSWAP_APPS_PRELOAD_ELF_SYMBOLS_H_
#define UZSWAP_APPS_PRELOAD_ELF_SYMBOLS_H_

#include <elf.h>

#include <cstdint>

namespace uzswap {

class ElfSymbols {
 public:
  // `base` is the difference between addresses in memory and in the file. `dynamic` is the object's
  // dynamic section in memory.
  ElfSymbols(uintptr_t base, const Elf64_Dyn* dynamic);

  // The address of an exported function, in its default version; null if there is none. An
  // indirect function (STT_GNU_IFUNC) is not found.
  [[nodiscard]] const void* FindFunction(const char* name) const;
  // True if the object refers to this name and does not define it.
  [[nodiscard]] bool Imports(const char* name) const;

 private:
  [[nodiscard]] const Elf64_Sym* Lookup(const char* name) const;
  [[nodiscard]] bool Matches(uint32_t index, const char* name) const;

  uintptr_t base_;
  const uint32_t* hash_ = nullptr;
  const Elf64_Sym* symbols_ = nullptr;
  const char* strings_ = nullptr;
  const uint16_t* versions_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_ELF_SYMBOLS_H_
