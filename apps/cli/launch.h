// Launch: CMD as a child of the runner, with the environment uzswap needs.
//
//   LD_PRELOAD        our library in front of what is there already
//   UZSWAP_SESSION    where the session is
//   UZSWAP_BROKER     the broker to ask for it, for a process that cannot open it
//   UZSWAP_LIMIT and the other options of the engine    for processes that live longer than the
//                                              runner
//   UZSWAP_STATS, UZSWAP_METRICS, UZSWAP_SUMMARY
//                                              removed: they are for this runner, not for an
//                                              inner one
//
// If the runner is killed by a signal that it cannot catch, the kernel kills CMD too. Otherwise
// CMD would run without a process that waits for it.
#ifndef UZSWAP_APPS_CLI_LAUNCH_H_
#define UZSWAP_APPS_CLI_LAUNCH_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "descriptor_limit.h"
#include "program.h"
#include "refusal.h"
#include "session/options.h"
#include "signal_relay.h"

namespace uzswap::cli {

// The library to preload: UZSWAP_PRELOAD, else the folder of libraries of the installation that
// this executable belongs to, else ../lib, as in the build folder.
OrRefusal<std::string> FindPreloadLibrary();

// An empty `preload`: the library is left out of CMD. A sanitizer's runtime in LD_PRELOAD stays in
// front of the library, because it must be loaded first. `broker`: where it listens, or empty.
std::vector<std::string> MakeEnvironment(const char* const* environment, const std::string& preload,
                                         const std::string& session, const Options& options,
                                         bool no_follow = false, const std::string& broker = "",
                                         const std::string& dictionary = "");

// Returns when CMD has started or has failed to start.
OrRefusal<pid_t> Launch(const Program& program, const std::vector<std::string>& command,
                        const std::vector<std::string>& environment, const SignalRelay& signals,
                        const DescriptorLimit& descriptors);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_LAUNCH_H_
