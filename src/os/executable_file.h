// InspectExecutable: what happens to a preload library when a file is executed.
//
//   file ── "#!" ──> interpreter ── "#!" ──> ... ──> ELF file
//     │                                               ├── PT_INTERP   the loader, or static
//     └── setuid, setgid, file capabilities:          └── DT_NEEDED   AddressSanitizer's runtime,
//         the loader ignores LD_PRELOAD                               which must be loaded first
//
// Reads with pread and checks every offset: the file may be damaged or hostile. Nothing is
// allocated and no state is kept, so a child of vfork may call it too. It opens regular files only,
// and uses no system call that the dynamic loader does not use, except fgetxattr in a process
// without a seccomp filter. About 4 KiB of stack.
#ifndef UZSWAP_OS_EXECUTABLE_FILE_H_
#define UZSWAP_OS_EXECUTABLE_FILE_H_

#include <cstdint>

namespace uzswap::os {

enum class ExecutableKind : uint8_t {
  kUnknown,       // not found, not readable, damaged, or no ELF file: nothing is known
  kPreloadable,   // dynamic, for glibc on this machine
  kStatic,        // there is no loader
  kRunner,        // uzswap itself, which is static
  kOtherLoader,   // not glibc's loader
  kOtherMachine,  // another architecture
  kPrivileged,    // setuid or setgid to another user or group, or file capabilities
  kSanitized,     // needs AddressSanitizer's runtime as the first library
};

ExecutableKind InspectExecutable(const char* path);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_EXECUTABLE_FILE_H_
