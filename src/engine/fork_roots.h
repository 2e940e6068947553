// ForkRoots: the pages that a forked child's C library touches before its engine can serve faults.
//
// Between the fork and the child's first atfork handler glibc walks, in the child, its list of
// thread descriptors, the streams, and the malloc arenas. Part of these is on the heap, which may
// be registered. The roots are found conservatively, so that no layout of a glibc version is
// needed:
//
//   data and bss of libc.so and ld.so     every word that is an address in a registered range
//   thread descriptors                    every word of them
//   heads of malloc arenas                found by the above; every word of their first page
//   the list of streams                   each stream and its lock, by the public chain
//   the stack of the forking thread       where the child runs on: its frames, and below them what
//                                         deeper calls have left, until the child is served
//
// The forking thread touches each of them (an ordinary fault serves it) and, once the pager is
// frozen, checks that none has been swapped out again.
//
// Find() once at start-up; ForEach by program threads, from the fork handlers. Nothing allocates.
#ifndef UZSWAP_ENGINE_FORK_ROOTS_H_
#define UZSWAP_ENGINE_FORK_ROOTS_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"

namespace uzswap {

class ForkRoots {
 public:
  // Called for each candidate address. Returns whether that address is in a registered range and
  // may be read.
  using Visit = bool (*)(void* argument, uint64_t address);

  // Remembers where libc and the loader keep their data, and enters these ranges, and those of
  // the library this code is in, as own: they are left alone.
  Result<void> Find();

  // Calls `visit` for every word found in the roots that may be an address in the program's
  // memory. `threads` are addresses inside thread descriptors. An arena's head is read only
  // where `visit` returned true for it.
  void ForEach(const uint64_t* threads, size_t thread_count, Visit visit, void* argument) const;

  // The pages around `frame`, an address in the forking thread's stack. Some may not be its stack.
  static void ForEachOfStack(uint64_t frame, Visit visit, void* argument);
  // What the child may call until it is served: it starts its engine, with small frames.
  static constexpr uint64_t kStackBelow = uint64_t{32} << 10;
  static constexpr uint64_t kStackAbove = uint64_t{8} << 10;

  // Adds a range whose words are roots. False: there is no room for more. For Find and for tests.
  bool AddRange(AddressRange range);

  static constexpr size_t kRangesMax = 16;

 private:
  AddressRange ranges_[kRangesMax];
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_FORK_ROOTS_H_
