// ForkRoots: the pages that a forked child's C library touches before anybody can serve them.
//
// Between the fork and the child's first atfork handler glibc walks, in the child, its list of
// thread descriptors, the streams, and the malloc arenas. What these consist of lies partly on
// the heap, which is in our care. The roots are found conservatively, so that no layout of a
// glibc version is wired in:
//
//   data and bss of libc.so and ld.so     every word that points into care
//   thread descriptors                    every word of them, likewise
//   heads of malloc arenas                found by the above; every word of their first page
//   the list of streams                   each stream and its lock, by the public chain
//
// The forking thread touches each of them (an ordinary fault serves it) and, once the pager is
// frozen, checks that none has left again.
//
// Program threads only, from the fork handlers. Find() once at start-up.
#ifndef UZSWAP_ENGINE_FORK_ROOTS_H_
#define UZSWAP_ENGINE_FORK_ROOTS_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace uzswap {

class ForkRoots {
 public:
  // Called for each candidate address. Returns whether that address is in care.
  using Visit = bool (*)(void* context, uint64_t address);

  // Remembers where libc and the loader keep their data, and enters these ranges, and those of
  // the library this code is in, as own: they are left alone.
  Result<void> Find();

  // Calls `visit` for every word found in the roots that may be an address in the program's
  // memory. `threads` are addresses inside thread descriptors. An arena's head is read only
  // where `visit` said that it is in care: it then was made resident, too.
  void ForEach(const uint64_t* threads, size_t thread_count, Visit visit, void* context) const;

  static constexpr size_t kRangesMax = 16;

 private:
  struct Range {
    uint64_t start = 0;
    uint64_t end = 0;
  };

  friend struct RangeCollector;

  Range ranges_[kRangesMax];
  size_t count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_FORK_ROOTS_H_
