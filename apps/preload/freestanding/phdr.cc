// dl_iterate_phdr for the libraries that uzswap asks about: the C library, the dynamic linker, and
// uzswap's own library. Others are left out: only of these is it known that their ELF header is at
// their base. The sanitizers' runtimes define this function too.
#include <link.h>

#include <cstring>

namespace {

bool Known(const link_map& library) {
  if (library.l_ld == _DYNAMIC) return true;
  const char* slash = strrchr(library.l_name, '/');
  const char* leaf = slash == nullptr ? library.l_name : slash + 1;
  return strncmp(leaf, "libc.so", 7) == 0 || strncmp(leaf, "ld-linux", 8) == 0;
}

}  // namespace

extern "C" int dl_iterate_phdr(int (*visit)(dl_phdr_info*, size_t, void*), void* context) {
  for (const link_map* library = _r_debug.r_map; library != nullptr; library = library->l_next) {
    if (!Known(*library)) continue;
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(library->l_addr);
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) continue;
    dl_phdr_info information{};
    information.dlpi_addr = library->l_addr;
    information.dlpi_name = library->l_name;
    information.dlpi_phdr = reinterpret_cast<const ElfW(Phdr)*>(library->l_addr + header->e_phoff);
    information.dlpi_phnum = header->e_phnum;
    if (const int result = visit(&information, sizeof(information), context)) return result;
  }
  return 0;
}
