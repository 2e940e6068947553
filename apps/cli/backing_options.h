// DecideBacking: turns the options about the backing file into the engine's options.
//
//   --backing PATH  --backing-size SIZE  --backing-write-limit N  --encrypt  --pool-limit N
//        │                 └──────────────────────┴──────────────────┘           │
//        │                         refused without a path                 at most the limit
//        └─ ProveBacking (backing_check.h) checks the path, after this
//
// Pure: reads nothing but its arguments.
#ifndef UZSWAP_APPS_CLI_BACKING_OPTIONS_H_
#define UZSWAP_APPS_CLI_BACKING_OPTIONS_H_

#include <optional>
#include <string>

#include "refusal.h"
#include "session/options.h"

namespace uzswap::cli {

// The options as text; std::nullopt: not given.
struct BackingRequest {
  std::optional<std::string> path;
  std::optional<std::string> size;
  std::optional<std::string> write_limit;
  std::optional<std::string> pool_limit;
  bool encrypt = false;
  // Inherited from an outer runner, which was given them for its own command. A value that does
  // not fit here is then ignored instead of refused.
  bool path_is_inherited = false;
  bool pool_limit_is_inherited = false;
};

// `options` has the limit already. The result has everything but the path. Its pool_limit is zero
// if none was given: the default depends on the path.
OrRefusal<Options> DecideBacking(const BackingRequest& asked, Options options);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_BACKING_OPTIONS_H_
