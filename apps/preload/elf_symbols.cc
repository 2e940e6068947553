#include "elf_symbols.h"

#include <cstring>

namespace uzswap {
namespace {

// The linker marks versions other than the default one.
constexpr uint16_t kHiddenVersion = 0x8000;

// Bernstein's hash with 33, as the linker computes it.
uint32_t HashOf(const char* name) {
  uint32_t hash = 5381;
  for (; *name != '\0'; ++name) hash = hash * 33 + static_cast<unsigned char>(*name);
  return hash;
}

}  // namespace

ElfSymbols::ElfSymbols(uintptr_t base, const Elf64_Dyn* dynamic) : base_(base) {
  // glibc stores addresses into the sections that it can write; the vDSO keeps offsets.
  const auto address = [base](const Elf64_Dyn& entry) {
    return entry.d_un.d_ptr < base ? entry.d_un.d_ptr + base : entry.d_un.d_ptr;
  };
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    switch (dynamic->d_tag) {
      case DT_GNU_HASH:
        hash_ = reinterpret_cast<const uint32_t*>(address(*dynamic));
        break;
      case DT_SYMTAB:
        symbols_ = reinterpret_cast<const Elf64_Sym*>(address(*dynamic));
        break;
      case DT_STRTAB:
        strings_ = reinterpret_cast<const char*>(address(*dynamic));
        break;
      case DT_VERSYM:
        versions_ = reinterpret_cast<const uint16_t*>(address(*dynamic));
        break;
      default:
        break;
    }
  }
}

bool ElfSymbols::Matches(uint32_t index, const char* name) const {
  const Elf64_Sym& symbol = symbols_[index];
  if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) return false;
  if (versions_ != nullptr && (versions_[index] & kHiddenVersion) != 0) return false;
  return strcmp(strings_ + symbol.st_name, name) == 0;
}

const Elf64_Sym* ElfSymbols::Lookup(const char* name) const {
  if (hash_ == nullptr || symbols_ == nullptr || strings_ == nullptr) return nullptr;
  const uint32_t bucket_count = hash_[0];
  const uint32_t first_symbol = hash_[1];
  const uint32_t bloom_words = hash_[2];
  const uint32_t bloom_shift = hash_[3];
  const auto* bloom = reinterpret_cast<const uint64_t*>(hash_ + 4);
  const auto* buckets = reinterpret_cast<const uint32_t*>(bloom + bloom_words);
  const uint32_t* chains = buckets + bucket_count;
  if (bucket_count == 0 || bloom_words == 0) return nullptr;

  const uint32_t hash = HashOf(name);
  const uint64_t word = bloom[hash / 64 % bloom_words];
  if ((word >> hash % 64 & word >> (hash >> bloom_shift) % 64 & 1) == 0) return nullptr;
  uint32_t index = buckets[hash % bucket_count];
  if (index < first_symbol) return nullptr;
  // The lowest bit of a chain's word marks its end.
  for (;; ++index) {
    const uint32_t chained = chains[index - first_symbol];
    if ((chained | 1) == (hash | 1) && Matches(index, name)) return &symbols_[index];
    if ((chained & 1) != 0) return nullptr;
  }
}

bool ElfSymbols::Imports(const char* name) const {
  if (hash_ == nullptr || symbols_ == nullptr || strings_ == nullptr) return false;
  // The hash covers the symbols from this number on. Those before it are imported.
  const uint32_t first_hashed = hash_[1];
  for (uint32_t i = 1; i < first_hashed; ++i) {
    if (strcmp(strings_ + symbols_[i].st_name, name) == 0) return true;
  }
  return false;
}

const void* ElfSymbols::FindFunction(const char* name) const {
  const Elf64_Sym* symbol = Lookup(name);
  return symbol == nullptr ? nullptr : reinterpret_cast<const void*>(base_ + symbol->st_value);
}

}  // namespace uzswap
