// RemapCalls: mremap, as the program calls it.
//
//   program: mremap ──> the C library's ──ok──> result
//                         │ EFAULT, and memory is registered with userfaultfd
//                         └──> RemapPieces (remap_pieces.h) ──> result
//
// The C library's own calls, in realloc, do not come here: realloc copies if mremap fails.
//
// The library reads /proc/self/maps, which the program does not. So it leaves a program with a
// seccomp filter alone: the filter could end it. The call then fails with EFAULT.
#ifndef UZSWAP_APPS_PRELOAD_REMAP_CALLS_H_
#define UZSWAP_APPS_PRELOAD_REMAP_CALLS_H_

#include "engine/engine.h"
#include "remap_pieces.h"

namespace uzswap {

// From the constructor. Before it, every call is passed on.
void FindRemapFunctions();
// Afterwards calls that the kernel refuses are served in pieces.
void FollowRemaps(Engine& engine);

// After a call that failed: the address that the program gets, or MAP_FAILED with its errno set.
void* AfterFailedRemap(const RemapCall& call);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_REMAP_CALLS_H_
