// SplitRemap: mremap over memory that is one mapping for the program, and several for the kernel.
//
//     program:   one mapping, 1.25 GiB
//     kernel:    | registered, 1 GiB | not registered, 0.25 GiB |      mremap: EFAULT
//
// The kernel joins adjacent mappings that are alike. A mapping that is registered with userfaultfd
// and one that is not are not alike, and pages that were touched in between keep them apart for
// ever. mremap accepts one mapping only, so each is moved by itself:
//
//     find the pieces ──> reserve the target ──> move piece by piece ──> the last one grows
//           │ a hole, or too many                    │ refused
//           └─> EFAULT, nothing has changed          └─> moved back, the errno of the refusal
//
// Pieces are moved with MREMAP_DONTUNMAP, and what they leave is unmapped at the end: so no mapping
// of another thread can get in between.
//
// Where a mapping ends is found with mremap itself, by bisection: to grow a part of a mapping in
// place is refused with EFAULT if the mapping ends before the part, else with ENOMEM. No file of
// /proc is needed, which the program may have lost.
//
// Like mremap it is not atomic for threads that use the memory meanwhile; no program can expect
// that. Any thread; nothing allocates.
#ifndef UZSWAP_APPS_PRELOAD_SPLIT_REMAP_H_
#define UZSWAP_APPS_PRELOAD_SPLIT_REMAP_H_

#include <cstddef>
#include <cstdint>

namespace uzswap {

struct RemapRequest {
  uint64_t start = 0;
  uint64_t bytes = 0;
  uint64_t new_bytes = 0;
  int flags = 0;        // MREMAP_*
  uint64_t target = 0;  // with MREMAP_FIXED
};

// The system calls, a seam. They return a negative errno on failure.
struct RemapCalls {
  // Returns the new address.
  int64_t (*remap)(const RemapRequest& request) = nullptr;
  // Address space that nobody may touch, anywhere. Returns its address.
  int64_t (*reserve)(uint64_t bytes) = nullptr;
  int64_t (*unmap)(uint64_t start, uint64_t bytes) = nullptr;
};

class SplitRemap {
 public:
  static constexpr size_t kPiecesMax = 64;

  explicit SplitRemap(const RemapCalls& calls) : calls_(calls) {}

  // True if the range is not in one mapping. Since Linux 6.17 mremap with MREMAP_FIXED and equal
  // sizes moves several mappings, but stops at one with userfaultfd that is not the first: what is
  // before it has moved then. So such a call is not made.
  [[nodiscard]] bool IsSplit(uint64_t start, uint64_t bytes) const;
  // After the kernel has answered `request` with EFAULT, or IsSplit. Returns the address where the
  // memory is now, or a negative errno: then it is where it was. Ends the process if it cannot be
  // brought back there.
  int64_t Run(const RemapRequest& request);

 private:
  // Fills pieces_. False: part of the range is not mapped, or there are too many.
  bool FindPieces(uint64_t start, uint64_t bytes);
  [[nodiscard]] bool EndsBefore(uint64_t start, uint64_t bytes) const;
  int64_t GrowInPlace(const RemapRequest& request);
  int64_t MoveTo(const RemapRequest& request, uint64_t target);
  void MoveBack(const RemapRequest& request, uint64_t target, size_t count);

  RemapCalls calls_;
  uint64_t pieces_[kPiecesMax] = {};  // bytes of each mapping, in the order of addresses
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_SPLIT_REMAP_H_
