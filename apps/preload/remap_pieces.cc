#include "remap_pieces.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/check.h"
#include "base/units.h"

namespace uzswap {
namespace {

// How often the engine may register a part of a piece while it is moved.
constexpr int kRetries = 100;
constexpr char kWhat[] = "mremap of several mappings";

uint64_t RoundUp(uint64_t bytes) { return (bytes + kPageSize - 1) & ~(kPageSize - 1); }

Result<uint64_t> Remap(uint64_t start, uint64_t bytes, uint64_t new_bytes, int flags,
                       uint64_t target) {
  const long result = syscall(SYS_mremap, start, bytes, new_bytes, flags, target);
  if (result == -1) return Error{errno, kWhat};
  return static_cast<uint64_t>(result);
}

class PiecewiseRemap {
 public:
  PiecewiseRemap(os::MapsReader& maps, const RemapCall& call)
      : maps_(maps), call_(call), end_(call.start + call.bytes) {}

  Result<uint64_t> Run() {
    const std::optional<uint64_t> last = FindLastPiece();
    if (!last) return Refused(EFAULT);
    if ((call_.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0) return Move();
    // The kernel shrinks a range of several mappings itself.
    if (call_.new_bytes <= call_.bytes) return Refused(EFAULT);
    const uint64_t room = call_.new_bytes - call_.bytes;
    const Result<uint64_t> grown = Remap(*last, end_ - *last, end_ - *last + room, 0, 0);
    if (grown.ok()) return call_.start;
    if ((call_.flags & MREMAP_MAYMOVE) == 0) return grown;
    return Move();
  }

 private:
  static Error Refused(int errno_value) { return {errno_value, kWhat}; }

  // Where the last piece begins, if all of the range could be one mapping.
  std::optional<uint64_t> FindLastPiece() {
    os::MapsEntry first;
    uint64_t begin = call_.start;
    for (uint64_t at = call_.start; at < end_;) {
      os::MapsEntry entry;
      if (!maps_.Find(at, &entry) || entry.start > at) return std::nullopt;
      if (at == call_.start) first = entry;
      const bool alike = entry.readable == first.readable && entry.writable == first.writable &&
                         entry.executable == first.executable;
      if (!entry.anonymous || entry.shared || !alike) return std::nullopt;
      begin = at;
      at = entry.end;
    }
    return begin;
  }

  Result<uint64_t> Move() {
    const bool fixed = (call_.flags & MREMAP_FIXED) != 0;
    if (fixed) {
      target_ = call_.target;
    } else {
      // Nobody else gets the place while the pieces come one after the other.
      void* place = mmap(nullptr, call_.new_bytes, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (place == MAP_FAILED) return Refused(errno);
      target_ = reinterpret_cast<uint64_t>(place);
    }
    if (call_.new_bytes < call_.bytes) {
      munmap(Pointer(call_.start + call_.new_bytes), call_.bytes - call_.new_bytes);
    }
    const uint64_t all = std::min(call_.bytes, call_.new_bytes);
    uint64_t moved = 0;
    const Result<void> done = MovePieces(call_.start, target_, all, call_.new_bytes,
                                         call_.flags & MREMAP_DONTUNMAP, &moved);
    if (done.ok()) return target_;
    uint64_t back = 0;
    const Result<void> undone = MovePieces(target_, call_.start, moved, moved, 0, &back);
    UZ_CHECK(undone.ok());
    if (!fixed) munmap(Pointer(target_ + moved), call_.new_bytes - moved);
    return done.error();
  }

  // Moves `bytes`, piece by piece, and gives the last one what `new_bytes` are more.
  Result<void> MovePieces(uint64_t from, uint64_t to, uint64_t bytes, uint64_t new_bytes, int keep,
                          uint64_t* moved) {
    int retries = kRetries;
    while (*moved < bytes) {
      os::MapsEntry piece;
      const uint64_t at = from + *moved;
      if (!maps_.Find(at, &piece) || piece.start > at) return Refused(EFAULT);
      const uint64_t length = std::min(piece.end - at, bytes - *moved);
      const uint64_t room = *moved + length == bytes ? new_bytes - bytes : 0;
      const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | keep;
      const Result<uint64_t> done = Remap(at, length, length + room, flags, to + *moved);
      if (done.ok()) {
        *moved += length;
      } else if (done.error().errno_value != EFAULT || --retries == 0) {
        return done.error();
      }
    }
    return {};
  }

  static void* Pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

  os::MapsReader& maps_;
  const RemapCall call_;
  const uint64_t end_;
  uint64_t target_ = 0;
};

}  // namespace

Result<uint64_t> RemapPieces(os::MapsReader& maps, RemapCall call) {
  constexpr int kKnownFlags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  constexpr uint64_t kBytesMax = uint64_t{1} << 56;
  const bool sane = call.start % kPageSize == 0 && call.bytes != 0 && call.new_bytes != 0 &&
                    call.bytes < kBytesMax && call.new_bytes < kBytesMax &&
                    call.start < kBytesMax && (call.flags & ~kKnownFlags) == 0;
  if (!sane) return Error{EFAULT, kWhat};
  call.bytes = RoundUp(call.bytes);
  call.new_bytes = RoundUp(call.new_bytes);
  return PiecewiseRemap(maps, call).Run();
}

}  // namespace uzswap
