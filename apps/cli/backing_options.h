// DecideBacking: from the words about the backing file to the engine's options.
//
//   --backing PATH  --backing-size SIZE  --backing-write-limit N  --encrypt  --pool-limit N
//        │                 └──────────────────────┴──────────────────┘           │
//        │                         refused without a path                 at most the limit
//        └─ its place is looked at by ProveBacking (backing_check.h), after this
//
// Pure: reads nothing but its arguments.
#ifndef UZSWAP_APPS_CLI_BACKING_OPTIONS_H_
#define UZSWAP_APPS_CLI_BACKING_OPTIONS_H_

#include <optional>
#include <string>

#include "refusal.h"
#include "session/options.h"

namespace uzswap::cli {

// As it was said; nothing: not said.
struct BackingRequest {
  std::optional<std::string> path;
  std::optional<std::string> size;
  std::optional<std::string> write_limit;
  std::optional<std::string> pool_limit;
  bool encrypt = false;
  // These came down from a runner further up, which had said them for its own command: what
  // does not fit here is no mistake of whoever called us.
  bool path_is_inherited = false;
  bool pool_limit_is_inherited = false;
};

// `options` has the limit already, and comes back with all but the path. A pool_limit that was
// not asked for is still zero: its default depends on the path.
OrRefusal<Options> DecideBacking(const BackingRequest& asked, Options options);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_BACKING_OPTIONS_H_
