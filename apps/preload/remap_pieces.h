// RemapPieces: mremap for a range that the kernel sees as several mappings.
//
//   the program's view    |            one mapping             |
//   the kernel's view     |  registered  |  added since then   |   mremap of both: EFAULT
//
//   grow in place         |  registered  |  added since then   |  <- mremap of the last piece
//   move                  one mremap for each piece, to its place in the target:
//                             |  registered  |  added since then   |  room  |
//
// The kernel does not merge a registered mapping with its neighbours, because their flags differ.
// So what the program made as one mapping can be several (docs/decisions/0033).
//
// Only neighbours that could be one mapping are taken: private, anonymous, without a gap, with the
// same protection. Everything else is EFAULT, as the kernel has it. If a piece cannot be moved, the
// others are moved back.
//
// The pieces are moved one after the other, so another thread can see the range half moved. Without
// uzswap it would see it moved or not; it must not use it at this moment in either case.
//
// In the thread that calls mremap. Nothing allocates; makes system calls only.
#ifndef UZSWAP_APPS_PRELOAD_REMAP_PIECES_H_
#define UZSWAP_APPS_PRELOAD_REMAP_PIECES_H_

#include <cstdint>

#include "base/result.h"
#include "os/procfs.h"

namespace uzswap {

// The arguments of mremap(2).
struct RemapCall {
  uint64_t start = 0;
  uint64_t bytes = 0;
  uint64_t new_bytes = 0;
  int flags = 0;
  uint64_t target = 0;  // with MREMAP_FIXED
};

// Requires: the kernel has refused the call with EFAULT. `maps` is open. Returns the new address,
// or the errno for the program.
Result<uint64_t> RemapPieces(os::MapsReader& maps, RemapCall call);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_REMAP_PIECES_H_
