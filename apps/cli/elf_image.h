// InspectElf: what kind of executable a file is, as far as preloading is concerned.
//
//   ELF header      class and machine   ours, or another architecture's
//                   type                executable or shared object (position independent)
//   program headers PT_INTERP           the loader that reads LD_PRELOAD; without one the
//                                       program is static and cannot be preloaded
//                   PT_NOTE             tells uzswap from other static programs
//
// Reads the file with pread and checks every offset: the file may be damaged or hostile.
#ifndef UZSWAP_APPS_CLI_ELF_IMAGE_H_
#define UZSWAP_APPS_CLI_ELF_IMAGE_H_

#include <cstdint>
#include <string>

namespace uzswap::cli {

enum class ElfKind : uint8_t {
  kNotElf,
  kBroken,        // truncated, or headers point outside the file
  kOtherMachine,  // `detail` names it
  kNotAProgram,   // an object file, a core dump
  kStatic,
  kRunner,        // uzswap itself, which is static
  kOtherLibrary,  // dynamic, but not glibc's loader: `detail` is the loader
  kGlibc,         // `detail` is the loader
};

struct ElfFacts {
  ElfKind kind = ElfKind::kNotElf;
  std::string detail;
};

ElfFacts InspectElf(int fd);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_ELF_IMAGE_H_
