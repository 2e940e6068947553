// LimitCalls: the program's limits of address space and data, without what uzswap needs of them.
//
//   program: setrlimit(RLIMIT_AS, N)   ──> kernel: N + allowance, marked
//   program: getrlimit(RLIMIT_AS)      <── N
//
// RLIMIT_AS and RLIMIT_DATA count all mappings of the process, uzswap's tables and pool too. A
// program that sets such a limit, or a shell with `ulimit -v`, knows only its own memory. So the
// library adds an allowance when the limit is set, and subtracts it when the limit is read. The
// kernel compares whole pages. The bits below a page carry the mark, which says how much was added:
// so it survives fork and exec, and any process of any session can read it.
//
// The allowance is that of the limit of the run when the limit was set. `uzswap set` may have
// raised the limit of the run since: then the new image of a process extends it again, as far as
// the kernel permits, and otherwise reserves no more than the old allowance is for.
//
//    63                              12 11     3 2      0
//   +----------------------------------+--------+--------+
//   | N + units * 16 MiB, in pages     | units  |  mark  |
//   +----------------------------------+--------+--------+
//
// A limit that was set outside uzswap is raised in the constructor, as far as the kernel permits.
// If it does not permit it, the limit stays as it is. Then uzswap's memory comes out of it.
//
// The calls are setrlimit, getrlimit and prlimit, and their names that end in 64. Limits of other
// processes, raw system calls and /proc/PID/limits show what the kernel has.
#ifndef UZSWAP_APPS_PRELOAD_LIMIT_CALLS_H_
#define UZSWAP_APPS_PRELOAD_LIMIT_CALLS_H_

#include <cstdint>
#include <optional>

#include "base/units.h"

namespace uzswap {

inline constexpr uint64_t kNoLimit = ~uint64_t{0};  // RLIM_INFINITY
inline constexpr uint64_t kLimitUnit = uint64_t{16} << 20;
inline constexpr uint64_t kUnitsMax = 511;  // the mark has no room for more
inline constexpr uint64_t kUnitsAlways = 4;

// The units that a process needs whose tree may use `memory`: the pool is at most that large, the
// tables are at most half of it, and a part does not depend on it.
constexpr uint64_t LimitUnitsFor(Bytes memory) {
  const uint64_t units = memory.raw() / kLimitUnit + 1;
  const uint64_t needed = units + units / 2 + kUnitsAlways;
  return needed < kUnitsMax ? needed : kUnitsMax;
}

// The reverse: the most memory for which so many units are enough.
constexpr Bytes MemoryForUnits(uint64_t units) {
  if (units >= kUnitsMax) return Bytes(~uint64_t{0});
  if (units <= kUnitsAlways) return Bytes(0);
  return Bytes(((units - kUnitsAlways) * 2 + 1) / 3 * kLimitUnit - kPageSize);
}

// What the kernel gets for the program's `limit`. A limit that is infinite or would overflow stays
// as it is.
uint64_t WithAllowance(uint64_t limit, uint64_t units);
// The reverse, for a value of the kernel's. A value without the mark is returned as it is.
uint64_t WithoutAllowance(uint64_t limit);
// The units that a value of the kernel's has. Nothing without the mark.
std::optional<uint64_t> AllowanceOf(uint64_t limit);

// From the constructor. Before it, every call is passed on.
void FindLimitFunctions();
// Afterwards the calls add the allowance for a tree that may use `memory`. Returns that, or less if
// the kernel does not permit to extend a limit again.
Bytes ExtendLimits(Bytes memory);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_LIMIT_CALLS_H_
