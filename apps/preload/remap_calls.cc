#include "remap_calls.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "exported.h"
#ifdef UZSWAP_FREESTANDING
#include "freestanding/raw_syscall.h"
#endif
#include "loaded_libraries.h"
#include "split_remap.h"

namespace uzswap {
namespace {

#ifdef UZSWAP_FREESTANDING
using freestanding::RawSyscall;

int64_t Remap(const RemapRequest& request) {
  return RawSyscall(SYS_mremap, static_cast<long>(request.start), static_cast<long>(request.bytes),
                    static_cast<long>(request.new_bytes), request.flags,
                    static_cast<long>(request.target));
}

int64_t Reserve(uint64_t bytes) {
  constexpr long kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  return RawSyscall(SYS_mmap, 0, static_cast<long>(bytes), PROT_NONE, kFlags, -1, 0);
}

int64_t Unmap(uint64_t start, uint64_t bytes) {
  return RawSyscall(SYS_munmap, static_cast<long>(start), static_cast<long>(bytes));
}

constexpr RemapCalls kCalls = {Remap, Reserve, Unmap};
// The next definitions after this library. Written by the constructor.
struct NextFunctions {
  void* (*mremap)(void*, size_t, size_t, int, void*);
  int* (*errno_location)();  // of the program: uzswap has an errno of its own
};
NextFunctions g_next{};
#endif

bool g_follows = false;

}  // namespace

void FollowRemaps() { g_follows = true; }

#ifdef UZSWAP_FREESTANDING
void FindRemapFunctions() {
  FindNext("mremap", &g_next.mremap);
  FindNext("__errno_location", &g_next.errno_location);
}

namespace {

// Sets the program's errno.
int64_t MovePieces(const RemapRequest& request) {
  const int64_t result = SplitRemap(kCalls).Run(request);
  if (result >= 0) return result;
  *g_next.errno_location() = static_cast<int>(-result);
  return -1;
}

bool Follows() { return g_follows && g_next.errno_location != nullptr; }

}  // namespace

bool RemapSplit(uint64_t start, uint64_t bytes, uint64_t new_bytes, int flags, uint64_t target,
                int64_t* result) {
  if (!Follows() || (flags & MREMAP_FIXED) == 0 || bytes != new_bytes) return false;
  if (!SplitRemap(kCalls).IsSplit(start, bytes)) return false;
  *result = MovePieces({start, bytes, new_bytes, flags, target});
  return true;
}

int64_t RemapAgain(uint64_t start, uint64_t bytes, uint64_t new_bytes, int flags, uint64_t target) {
  if (!Follows() || *g_next.errno_location() != EFAULT) return -1;
  return MovePieces({start, bytes, new_bytes, flags, target});
}
#else
void FindRemapFunctions() {}
#endif

}  // namespace uzswap

#ifdef UZSWAP_FREESTANDING
extern "C" {

// The header declares it as variadic; see fork_calls.cc.
UZ_EXPORTED void* UzswapMremap(void* start, size_t bytes, size_t new_bytes, int flags,
                               void* target) __asm__("mremap");

void* UzswapMremap(void* start, size_t bytes, size_t new_bytes, int flags, void* target) {
  const auto at = reinterpret_cast<uint64_t>(start);
  const auto to = reinterpret_cast<uint64_t>(target);
  if (uzswap::g_next.mremap == nullptr) {
    const int64_t early = uzswap::Remap({at, bytes, new_bytes, flags, to});
    return reinterpret_cast<void*>(early < 0 ? int64_t{-1} : early);
  }
  int64_t split = 0;
  if (uzswap::RemapSplit(at, bytes, new_bytes, flags, to, &split)) {
    return reinterpret_cast<void*>(split);
  }
  void* result = uzswap::g_next.mremap(start, bytes, new_bytes, flags, target);
  if (result != MAP_FAILED) return result;
  return reinterpret_cast<void*>(uzswap::RemapAgain(at, bytes, new_bytes, flags, to));
}

}  // extern "C"
#endif
