#include "limit_calls.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "exported.h"
#include "loaded_libraries.h"

namespace uzswap {
namespace {

// <sys/resource.h> declares the functions that are defined here, with enumerations as parameters.
struct Limit {
  uint64_t soft;
  uint64_t hard;
};
constexpr int kData = 2;
constexpr int kAddressSpace = 9;

// The next definitions after this library. Written by the constructor.
struct NextFunctions {
  int (*setrlimit)(int, const Limit*);
  int (*getrlimit)(int, Limit*);
  int (*prlimit)(int, int, const Limit*, Limit*);
};
NextFunctions g_next{};
uint64_t g_units = 0;

bool IsExtended(int resource) {
  return g_units != 0 && (resource == kAddressSpace || resource == kData);
}

void RemoveAllowance(int result, Limit* limit) {
  if (result != 0 || limit == nullptr) return;
  *limit = {WithoutAllowance(limit->soft), WithoutAllowance(limit->hard)};
}

// A system call of uzswap's own: it leaves the program's errno alone.
bool SetExtended(int resource, const Limit& limit, Limit* before) {
  const Limit extended = {WithAllowance(limit.soft, g_units), WithAllowance(limit.hard, g_units)};
  return syscall(SYS_prlimit64, 0, resource, &extended, before) == 0;
}

int Set(int resource, const Limit* limit) {
  if (limit != nullptr && IsExtended(resource) && SetExtended(resource, *limit, nullptr)) return 0;
  return g_next.setrlimit(resource, limit);
}

int Get(int resource, Limit* limit) {
  // An allocator in LD_PRELOAD may be used before this library's constructor.
  if (g_next.getrlimit == nullptr) {
    return static_cast<int>(syscall(SYS_prlimit64, 0, resource, nullptr, limit));
  }
  const int result = g_next.getrlimit(resource, limit);
  if (IsExtended(resource)) RemoveAllowance(result, limit);
  return result;
}

int SetAndGet(int process, int resource, const Limit* limit, Limit* before) {
  const bool own = process == 0 || process == getpid();
  if (!own || !IsExtended(resource)) return g_next.prlimit(process, resource, limit, before);
  const bool set = limit != nullptr && SetExtended(resource, *limit, before);
  const int result = set ? 0 : g_next.prlimit(process, resource, limit, before);
  RemoveAllowance(result, before);
  return result;
}

// A limit that was set before uzswap started, or by a program that is not managed, or when the
// limit of the run was lower. False if it has an allowance that is smaller, and keeps it.
bool ExtendPresent(int resource) {
  Limit limit{};
  if (syscall(SYS_prlimit64, 0, resource, nullptr, &limit) != 0) return true;
  const std::optional<uint64_t> units = AllowanceOf(limit.soft);
  if (limit.soft == kNoLimit || (units && *units >= g_units)) return true;
  const Limit own = {WithoutAllowance(limit.soft), WithoutAllowance(limit.hard)};
  if (SetExtended(resource, own, nullptr)) return true;
  // The hard limit may only be raised with a privilege.
  const uint64_t soft = WithAllowance(own.soft, g_units);
  const Limit extended = {soft, limit.hard};
  const bool raised =
      soft <= limit.hard && syscall(SYS_prlimit64, 0, resource, &extended, nullptr) == 0;
  if (raised || !units) return true;
  // What is set later shall be for the same memory.
  g_units = *units;
  return false;
}

}  // namespace

void FindLimitFunctions() {
  FindNext("setrlimit", &g_next.setrlimit);
  FindNext("getrlimit", &g_next.getrlimit);
  FindNext("prlimit", &g_next.prlimit);
}

Bytes ExtendLimits(Bytes memory) {
  g_units = LimitUnitsFor(memory);
  const bool addresses = ExtendPresent(kAddressSpace);
  const bool data = ExtendPresent(kData);
  return addresses && data ? memory : std::min(memory, MemoryForUnits(g_units));
}

}  // namespace uzswap

using UzLimit = uzswap::Limit;

extern "C" {

UZ_EXPORTED int setrlimit(int resource, const UzLimit* limit) {
  return uzswap::Set(resource, limit);
}
UZ_EXPORTED int setrlimit64(int resource, const UzLimit* limit) {
  return uzswap::Set(resource, limit);
}
UZ_EXPORTED int getrlimit(int resource, UzLimit* limit) { return uzswap::Get(resource, limit); }
UZ_EXPORTED int getrlimit64(int resource, UzLimit* limit) { return uzswap::Get(resource, limit); }
UZ_EXPORTED int prlimit(int process, int resource, const UzLimit* limit, UzLimit* before) {
  return uzswap::SetAndGet(process, resource, limit, before);
}
UZ_EXPORTED int prlimit64(int process, int resource, const UzLimit* limit, UzLimit* before) {
  return uzswap::SetAndGet(process, resource, limit, before);
}

}  // extern "C"
