#include "remap_calls.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <new>

#include "exported.h"
#ifdef UZSWAP_FREESTANDING
#include "freestanding/raw_syscall.h"
#endif
#include "loaded_libraries.h"

namespace uzswap {
namespace {

// The next definitions after this library. Written by the constructor.
struct NextFunctions {
  void* (*mremap)(void*, size_t, size_t, int, void*);
  int* (*errno_location)();
};
NextFunctions g_next{};
Engine* g_engine = nullptr;

bool HasSeccompFilter() { return prctl(PR_GET_SECCOMP) != 0; }

Result<uint64_t> ByPieces(const RemapCall& call) {
  // The program gets an error of mremap(2), not one of /proc.
  const Error refused = {EFAULT, "mremap"};
  // The buffer of the reader may be too large for the stack of a fiber.
  void* memory = mmap(nullptr, sizeof(os::MapsReader), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return refused;
  auto* maps = new (memory) os::MapsReader;
  const Result<uint64_t> result =
      maps->Open().ok() ? RemapPieces(*maps, call) : Result<uint64_t>(refused);
  maps->~MapsReader();
  munmap(memory, sizeof(os::MapsReader));
  return result;
}

}  // namespace

void FindRemapFunctions() {
  FindNext("mremap", &g_next.mremap);
  FindNext("__errno_location", &g_next.errno_location);
}

void FollowRemaps(Engine& engine) { g_engine = &engine; }

void* AfterFailedRemap(const RemapCall& call) {
  if (g_engine == nullptr || *g_next.errno_location() != EFAULT) return MAP_FAILED;
  if (!g_engine->has_registered() || HasSeccompFilter()) return MAP_FAILED;
  Statistics& statistics = g_engine->member().statistics();
  const Result<uint64_t> result = ByPieces(call);
  if (!result.ok()) {
    statistics.refused_remaps.Add();
    *g_next.errno_location() = result.error().errno_value;
    return MAP_FAILED;
  }
  statistics.piecewise_remaps.Add();
  return reinterpret_cast<void*>(result.value());
}

}  // namespace uzswap

#ifdef UZSWAP_FREESTANDING
extern "C" {

// The header declares it as variadic, so it has another name here (fork_calls.cc).
UZ_EXPORTED void* UzswapMremap(void* start, size_t bytes, size_t new_bytes, int flags,
                               void* target) __asm__("mremap");

void* UzswapMremap(void* start, size_t bytes, size_t new_bytes, int flags, void* target) {
  const auto next = uzswap::g_next.mremap;
  // An allocator in LD_PRELOAD may be used before this library's constructor.
  if (next == nullptr) {
    const long result = uzswap::freestanding::RawSyscall(
        SYS_mremap, reinterpret_cast<long>(start), static_cast<long>(bytes),
        static_cast<long>(new_bytes), flags, reinterpret_cast<long>(target));
    constexpr long kErrnoMax = 4095;
    return result < 0 && result >= -kErrnoMax ? MAP_FAILED : reinterpret_cast<void*>(result);
  }
  void* result = next(start, bytes, new_bytes, flags, target);
  if (result != MAP_FAILED) return result;
  return uzswap::AfterFailedRemap({reinterpret_cast<uint64_t>(start), bytes, new_bytes, flags,
                                   reinterpret_cast<uint64_t>(target)});
}

}  // extern "C"
#endif
