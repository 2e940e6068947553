// DecideLimit: the limit of the tree, from the option, the cgroups and the machine's memory.
//
//   --limit SIZE   that size. A note is printed if usage can never reach it (more than the
//                  machine's memory), or if the kernel kills or throttles first (more than the
//                  cgroup allows)
//   --limit auto   the tightest cgroup limit minus a headroom for what uzswap does not manage:
//                  page tables, thread stacks, file pages, the runner. Refused without a cgroup
//                  limit
//   no --limit     as auto if there is a cgroup limit, else the machine's memory less the same
//                  headroom
//
//   headroom = max(24 MiB, 6 %)
//
// Pure: reads nothing but its arguments.
#ifndef UZSWAP_APPS_CLI_LIMIT_H_
#define UZSWAP_APPS_CLI_LIMIT_H_

#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "os/cgroup.h"
#include "refusal.h"

namespace uzswap::cli {

struct LimitDecision {
  Bytes limit{};
  std::string note;  // one sentence for standard error, or empty
};

constexpr Bytes Headroom(Bytes bound) {
  constexpr uint64_t kLeast = uint64_t{24} << 20;
  const uint64_t share = bound.raw() / 100 * 6;
  return Bytes(share > kLeast ? share : kLeast);
}

OrRefusal<LimitDecision> DecideLimit(const std::optional<std::string>& asked,
                                     const os::CgroupLimit* cgroup, Bytes machine);

// "200.0 MiB", with the unit that fits.
std::string Human(Bytes bytes);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_LIMIT_H_
