// CowBreaker: makes pages reclaimable that a fork left behind.
//
// The kernel does not move a page that parent and child map (UFFDIO_MOVE: EBUSY). When the other
// owner has gone, it still does not, until somebody writes to the page. A write fault that changes
// no content (MADV_POPULATE_WRITE) helps in both cases:
//
//   the page is mapped   the write fault   what eviction frees then              decision
//   by one process       keeps the page    the page, for one compressed page     break
//   by n processes       copies it         the page, for n compressed pages,     break if
//                                          when all n have evicted their copy    CopyingPays
//
// So two processes that share pages give them up if these compress to less than 45 %, and a server
// with many children keeps them shared.
//
// The reclaim daemon only. Without the pager's lock: a page that has been swapped out meanwhile
// must be served by the pager.
#ifndef UZSWAP_ENGINE_COW_BREAKER_H_
#define UZSWAP_ENGINE_COW_BREAKER_H_

#include <cstdint>
#include <optional>
#include <span>

#include "base/statistics.h"
#include "base/units.h"

namespace uzswap {

// The memory of this process; tests replace it.
class CowPort {
 public:
  // True if no other process maps the page. Nothing if it cannot be said.
  virtual std::optional<bool> MappedOnce(uint64_t address) = 0;
  // A write fault on the page.
  virtual void BreakCow(uint64_t address) = 0;

 protected:
  ~CowPort() = default;
};

// `sharers_per_mille`: how many processes map a shared page on average, times 1000. `compressed` is
// the size of `stored` pages. False while nothing is stored: how pages compress is not known.
[[nodiscard]] constexpr bool CopyingPays(uint64_t sharers_per_mille, Bytes compressed,
                                         PageCount stored) {
  // Some gain must be left for the copies that are not evicted yet.
  constexpr uint64_t kCostMax = 900;
  if (stored.raw() == 0) return false;
  const uint64_t ratio_per_mille = compressed.raw() * 1000 / ToBytes(stored).raw();
  return sharers_per_mille * ratio_per_mille <= kCostMax * 1000;
}

// Breaks COW of the pages where that pays, and moves their addresses to the front. Returns how
// many. The others come again when they are refused again.
size_t BreakCow(CowPort& port, std::span<uint64_t> addresses, bool copying_pays,
                Statistics& statistics);

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_COW_BREAKER_H_
