// DecideNewOptions: what `uzswap set` changes, from its arguments.
//
//   options of the run ──┐
//   NAME=VALUE ...       ├──> options from now on, a note; or the reason why not
//   its cgroup, memory   ┘
//
// All arguments are checked before anything is changed. A pool limit that is not named follows the
// limit: with a backing file it keeps its share, without one it stays, but within the limit.
//
// Pure: reads nothing but its arguments.
#ifndef UZSWAP_APPS_CLI_NEW_OPTIONS_H_
#define UZSWAP_APPS_CLI_NEW_OPTIONS_H_

#include <string>
#include <vector>

#include "base/units.h"
#include "os/cgroup.h"
#include "refusal.h"
#include "session/options.h"

namespace uzswap::cli {

// `now`, with what is changed.
struct NewOptions {
  Options options;
  std::string note;         // one sentence for standard error, or empty
  bool names_pool = false;  // the limit of the pools was given, and does not only follow
};

// `cgroup` is the tightest limit of the run's; nullptr: none.
OrRefusal<NewOptions> DecideNewOptions(const Options& now, const std::vector<std::string>& changes,
                                       const os::CgroupLimit* cgroup, Bytes machine);

// The pool limit of a run whose limit was `now` and is `limit`; zero if it has none.
Bytes PoolLimitAt(const Options& now, Bytes limit);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_NEW_OPTIONS_H_
