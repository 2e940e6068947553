// `uzswap run` and `uzswap check`: from a request to an exit status.
//
//   check everything ──> session ──> CMD ──┬── signals, once a second a sweep ──┐
//        │ refused                         └────────────────────────────────────┘
//        └──> 125 / 126 / 127                CMD ended ──> statistics ──> its status
//
// If a signal kills CMD, the runner ends by the same signal, so that a shell or a supervisor sees
// the same as without uzswap.
#ifndef UZSWAP_APPS_CLI_RUN_COMMAND_H_
#define UZSWAP_APPS_CLI_RUN_COMMAND_H_

#include "command_line.h"

namespace uzswap::cli {

int RunCommand(const RunRequest& request);
int CheckCommand(const CheckRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_RUN_COMMAND_H_
