// CheckUserfaultfd: can the engine work on this machine, and if not, what is the fix?
//
// Pure: its input is what os/probe.h found, so that one machine can test all cases.
#ifndef UZSWAP_APPS_CLI_SURROUNDINGS_H_
#define UZSWAP_APPS_CLI_SURROUNDINGS_H_

#include <optional>
#include <string>

#include "os/probe.h"
#include "refusal.h"

namespace uzswap::cli {

std::optional<Refusal> CheckUserfaultfd(const os::UffdProbe& probe,
                                        const os::UffdSurroundings& around,
                                        const std::string& kernel);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_SURROUNDINGS_H_
