#include "descriptor_limit.h"

#include <algorithm>
#include <string>

namespace uzswap::cli {

std::optional<Refusal> DescriptorLimit::Raise() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWanted) return std::nullopt;
  if (limit.rlim_max < kNeeded) {
    return Refusal{kCannotDo,
                   "only " + std::to_string(limit.rlim_max) +
                       " descriptors may be open here; uzswap needs " + std::to_string(kNeeded),
                   "raise the hard limit of descriptors (ulimit -Hn) where it was set"};
  }
  const rlimit raised = {std::min(limit.rlim_max, kWanted), limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) former_ = limit;
  return std::nullopt;
}

void DescriptorLimit::RestoreInChild() const {
  if (former_) setrlimit(RLIMIT_NOFILE, &*former_);
}

}  // namespace uzswap::cli
