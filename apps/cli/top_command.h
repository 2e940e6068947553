// top: the runs of uzswap on this machine, again and again on a full screen (ncurses), or once.
//
//     TopModel ── RenderTop ──> lines ──> curses, from the line that was scrolled to
//        ^                                   │ keys: order, interval, pause, scroll, help, end
//        └── FindRuns, every interval <──────┘
//
// It asks no process for anything, so a runner that is stopped does not stop it. One thread.
#ifndef UZSWAP_APPS_CLI_TOP_COMMAND_H_
#define UZSWAP_APPS_CLI_TOP_COMMAND_H_

#include "top_model.h"

namespace uzswap::cli {

struct TopRequest {
  bool once = false;
  double interval_s = 1;
  TopOrder order = TopOrder::kUsed;
};

inline constexpr double kTopIntervalMin = 0.1;
inline constexpr double kTopIntervalMax = 60;

std::optional<TopOrder> TopOrderByName(const std::string& name);

int TopCommand(const TopRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_TOP_COMMAND_H_
