// `uzswap run` and `uzswap check`, from a request to an exit status.
//
//   check everything ──> session ──> CMD ──┬── signals, once a second a sweep ──┐
//        │ refused                         └────────────────────────────────────┘
//        └──> 125 / 126 / 127                CMD ended ──> statistics ──> its status
//
// A CMD killed by a signal makes the runner die by the same one, so that a shell or a
// supervisor sees what it would see without uzswap.
#ifndef UZSWAP_APPS_CLI_RUN_COMMAND_H_
#define UZSWAP_APPS_CLI_RUN_COMMAND_H_

#include "command_line.h"

namespace uzswap::cli {

int RunCommand(const RunRequest& request);
int CheckCommand();

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_RUN_COMMAND_H_
