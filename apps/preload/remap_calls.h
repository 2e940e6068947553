// RemapCalls: the program's mremap, where the kernel has split a mapping of the program because
// uzswap manages a part of it.
//
//   program: mremap(...)  ──> kernel ──ok, or another error──> program
//                               `── EFAULT ──> SplitRemap (split_remap.h) ──> program
//
// The calls are mremap, and syscall with SYS_mremap. The C library's own realloc calls the kernel
// directly; after an error it copies the memory.
#ifndef UZSWAP_APPS_PRELOAD_REMAP_CALLS_H_
#define UZSWAP_APPS_PRELOAD_REMAP_CALLS_H_

#include <cstdint>

namespace uzswap {

// From the constructor. Before it, every call is passed on.
void FindRemapFunctions();
// Afterwards, calls that the kernel answers with EFAULT are tried piece by piece.
void FollowRemaps();

// Before the call: true if the kernel must not see it, because it would move a part and then fail
// (split_remap.h). `result` is what the program gets then; errno is set.
bool RemapSplit(uint64_t start, uint64_t bytes, uint64_t new_bytes, int flags, uint64_t target,
                int64_t* result);
// The call has failed, and the program's errno is set. Tries again if the kernel has answered with
// EFAULT. Returns the address or -1, with the errno of the last try.
int64_t RemapAgain(uint64_t start, uint64_t bytes, uint64_t new_bytes, int flags, uint64_t target);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_REMAP_CALLS_H_
