// OpenFallback: who is asked for a file that an engine needs and cannot open.
//
//   reader ── open("/proc/self/maps") ──ok──> descriptor
//                    │ ENOENT, ESRCH, EACCES, EPERM: the program changed its root or user before
//                    │ it forked
//                    └──> the installed function ──> descriptor, from the broker of the run
//
// The function is installed once, before the service threads start. It is called by the thread that
// needs the file, and must not block for long.
#ifndef UZSWAP_OS_OPEN_FALLBACK_H_
#define UZSWAP_OS_OPEN_FALLBACK_H_

#include <cstdint>

namespace uzswap::os {

enum class NeededFile : uint8_t {
  kStatm,
  kSmapsRollup,
  kPagemap,
  kMaps,
  kSmaps,
  kTasks,
  kUserfaultfd
};

// A descriptor of the calling thread's table, or -1.
using OpenFallback = int (*)(NeededFile file);
void SetOpenFallback(OpenFallback function);

// `open_errno` is why it cannot be opened directly. Returns a descriptor, or -1.
int OpenByFallback(NeededFile file, int open_errno);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_OPEN_FALLBACK_H_
