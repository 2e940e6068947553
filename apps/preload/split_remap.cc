#include "split_remap.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/units.h"

namespace uzswap {

int64_t SplitRemap::Run(const RemapRequest& request) {
  const bool anywhere = (request.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) == 0;
  // The kernel shrinks several mappings at once, unless they are moved too.
  const bool shrinks = request.new_bytes < request.bytes;
  if (request.bytes == 0 || (shrinks && anywhere)) return -EFAULT;
  const uint64_t kept = std::min(request.bytes, request.new_bytes);
  if (!FindPieces(request.start, kept) || count_ < 2) return -EFAULT;
  if (anywhere) {
    const int64_t grown = GrowInPlace(request);
    if (grown >= 0 || (request.flags & MREMAP_MAYMOVE) == 0) return grown;
  }
  uint64_t target = request.target;
  if ((request.flags & MREMAP_FIXED) == 0) {
    const int64_t reserved = calls_.reserve(request.new_bytes);
    if (reserved < 0) return -EFAULT;
    target = static_cast<uint64_t>(reserved);
  }
  const int64_t moved = MoveTo(request, target);
  if (moved < 0) return moved;
  const uint64_t whole = RoundUpToPage(kept);
  const uint64_t end = RoundUpToPage(request.bytes);
  if (whole < end) calls_.unmap(request.start + whole, end - whole);
  return moved;
}

bool SplitRemap::FindPieces(uint64_t start, uint64_t bytes) {
  count_ = 0;
  uint64_t left = (bytes + kPageSize - 1) & ~(kPageSize - 1);
  while (left > 0) {
    if (count_ == kPiecesMax || EndsBefore(start, kPageSize)) return false;
    // The mapping is at least `low` long, and shorter than `high`.
    uint64_t low = kPageSize;
    uint64_t high = left + kPageSize;
    while (high - low > kPageSize) {
      const uint64_t middle = (low + (high - low) / 2) & ~(kPageSize - 1);
      if (EndsBefore(start, middle)) {
        high = middle;
      } else {
        low = middle;
      }
    }
    pieces_[count_++] = low;
    start += low;
    left -= low;
  }
  return true;
}

// A part that ends with its mapping could grow, if nothing follows: then it shrinks again.
bool SplitRemap::EndsBefore(uint64_t start, uint64_t bytes) const {
  const int64_t answer =
      calls_.remap({.start = start, .bytes = bytes, .new_bytes = bytes + kPageSize});
  if (answer >= 0) calls_.unmap(start + bytes, kPageSize);
  return answer == -EFAULT;
}

int64_t SplitRemap::GrowInPlace(const RemapRequest& request) {
  const uint64_t last = pieces_[count_ - 1];
  const uint64_t end = request.start + request.bytes;
  const uint64_t start = RoundUpToPage(end) - last;
  const int64_t grown = calls_.remap({.start = start,
                                      .bytes = end - start,
                                      .new_bytes = request.start + request.new_bytes - start});
  return grown < 0 ? grown : static_cast<int64_t>(request.start);
}

// The pieces before the last leave their mappings behind, without pages, until all have moved: so
// nobody else's mapping can get in between, here or there.
int64_t SplitRemap::MoveTo(const RemapRequest& request, uint64_t target) {
  const bool keep = (request.flags & MREMAP_DONTUNMAP) != 0;
  uint64_t offset = 0;
  for (size_t i = 0; i < count_; ++i) {
    const bool last = i + 1 == count_;
    const RemapRequest piece = {
        .start = request.start + offset,
        .bytes = pieces_[i],
        .new_bytes = last ? RoundUpToPage(request.new_bytes) - offset : pieces_[i],
        .flags = MREMAP_MAYMOVE | MREMAP_FIXED | (last && !keep ? 0 : MREMAP_DONTUNMAP),
        .target = target + offset};
    const int64_t moved = calls_.remap(piece);
    if (moved < 0) {
      MoveBack(request, target, i);
      // A reservation is still whole.
      const uint64_t ours = (request.flags & MREMAP_FIXED) == 0 ? request.new_bytes : offset;
      if (ours > 0) calls_.unmap(target, ours);
      return moved;
    }
    offset += pieces_[i];
  }
  if (!keep) calls_.unmap(request.start, offset - pieces_[count_ - 1]);
  return static_cast<int64_t>(target);
}

void SplitRemap::MoveBack(const RemapRequest& request, uint64_t target, size_t count) {
  uint64_t offset = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t back = calls_.remap({.start = target + offset,
                                       .bytes = pieces_[i],
                                       .new_bytes = pieces_[i],
                                       .flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                                       .target = request.start + offset});
    if (back < 0) {
      PanicOperands(__FILE__, __LINE__, "memory that mremap moved in part cannot be moved back",
                    request.start + offset, static_cast<uint64_t>(-back));
    }
    offset += pieces_[i];
  }
}

bool SplitRemap::IsSplit(uint64_t start, uint64_t bytes) const {
  return bytes > kPageSize && EndsBefore(start, RoundUpToPage(bytes));
}

}  // namespace uzswap
