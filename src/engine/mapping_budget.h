// MappingBudget: which growth is worth one more mapping of the process.
//
// A process may have vm.max_map_count mappings. The kernel does not merge a mapping that is
// registered with userfaultfd with the memory that the program adds next to it, not even when both
// are registered later: they have different reverse mappings (anon_vma) since the first touch. So
// each scan that registers growth costs a mapping that the program alone would not have:
//
//     registered | registered | registered | new   <- brk, or mmap at the lower end
//
//   mappings of the process      growth beside a mapping of the same kind is registered
//   below 1/4 of the maximum     always
//   below 3/4                    if it has 1/1024 of what can be registered: then the number of
//                                pieces grows with the logarithm of the size
//   more                         never; the rest is for the program
//
// A mapping with another neighbour, for example a stack with its guard, is not concerned: to
// register the whole of it adds none.
//
// The scanner's thread. Nothing allocates.
#ifndef UZSWAP_ENGINE_MAPPING_BUDGET_H_
#define UZSWAP_ENGINE_MAPPING_BUDGET_H_

#include <cstdint>

#include "base/units.h"
#include "os/procfs.h"

namespace uzswap {

class MappingBudget {
 public:
  static constexpr uint64_t kUsualMax = 65530;  // the kernel's default

  void SetMax(uint64_t mappings) { max_ = mappings; }

  // One walk over all mappings.
  void BeginWalk() {
    walked_ = 0;
    walked_bytes_ = 0;
    left_ = 0;
  }
  void Note(const os::MapsEntry& entry, bool adoptable) {
    ++walked_;
    if (adoptable) walked_bytes_ += entry.end - entry.start;
  }
  void EndWalk() {
    mappings_ = walked_;
    bytes_ = walked_bytes_;
  }

  // May this mapping be registered, by what the last whole walk found? Counts a refusal.
  bool Permits(const os::MapsEntry& entry, const os::MapsEntry& previous,
               const os::MapsEntry& next) {
    const bool grown = IsOneWith(previous, entry) || IsOneWith(entry, next);
    if (!grown || mappings_ < max_ / 4) return true;
    const bool large = entry.end - entry.start >= bytes_ / kPiecesShare;
    if (large && mappings_ < max_ - max_ / 4) return true;
    ++left_;
    return false;
  }
  // Refusals since BeginWalk.
  [[nodiscard]] uint64_t left() const { return left_; }

 private:
  static constexpr uint64_t kPiecesShare = 1024;

  // Would the kernel have one mapping without the registration?
  static bool IsOneWith(const os::MapsEntry& lower, const os::MapsEntry& upper) {
    return lower.end == upper.start && lower.anonymous && upper.anonymous &&
           lower.readable == upper.readable && lower.writable == upper.writable &&
           lower.executable == upper.executable && lower.shared == upper.shared &&
           lower.kernel == upper.kernel;
  }

  uint64_t max_ = kUsualMax;
  uint64_t mappings_ = 0;
  uint64_t bytes_ = 0;
  uint64_t walked_ = 0;
  uint64_t walked_bytes_ = 0;
  uint64_t left_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_MAPPING_BUDGET_H_
