// DescriptorLimit: the runner may open the descriptors that it needs, and CMD those that it may
// open without uzswap.
//
//   runner   soft limit below kWanted ──Raise──> kWanted, or the hard limit
//   CMD      the inherited limit  <──RestoreInChild──
//
// Only the soft limit (RLIMIT_NOFILE) can be raised without privilege. One thread.
#ifndef UZSWAP_APPS_CLI_DESCRIPTOR_LIMIT_H_
#define UZSWAP_APPS_CLI_DESCRIPTOR_LIMIT_H_

#include <sys/resource.h>

#include <optional>

#include "refusal.h"

namespace uzswap::cli {

class DescriptorLimit {
 public:
  static constexpr rlim_t kNeeded = 16;   // the runner itself has 8 open at most
  static constexpr rlim_t kWanted = 256;  // others may be inherited

  // Refuses if the hard limit is below kNeeded.
  std::optional<Refusal> Raise();
  // Between fork and exec.
  void RestoreInChild() const;

 private:
  std::optional<rlimit> former_;  // if it was raised
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_DESCRIPTOR_LIMIT_H_
