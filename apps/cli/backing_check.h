// ProveBacking: can the engine open its backing file? It opens the file before CMD starts, because
// later the engine can only warn and run without a backing file.
//
//   PATH ── absolute? ── what is there? ── room? ── open it as the engine will, and close it
//             │             │                │          │
//             └─────────────┴──── Refusal ───┴──────────┘
//
// A named file is created if it does not exist, and it is not removed. EmptyBacking truncates it
// when the run is over, so that the next run can use it.
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_BACKING_CHECK_H_
#define UZSWAP_APPS_CLI_BACKING_CHECK_H_

#include <sys/types.h>

#include <string>

#include "refusal.h"

namespace uzswap::cli {

enum class BackingKind { kFolder, kFile, kDevice, kOther };

struct ProvedBacking {
  std::string path;  // absolute, at most kBackingPathMax with its end
  std::string note;  // one sentence for standard error, or empty
  // The named file that this run may truncate at its end; inode 0: none.
  dev_t file_system = 0;
  ino_t inode = 0;
};

// `may_be_taken`: another process may already use the file, or may have written to it.
OrRefusal<ProvedBacking> ProveBacking(const std::string& path, bool may_be_taken);

// False while a process may still read or write the file: try again, or leave it.
[[nodiscard]] bool EmptyBacking(const ProvedBacking& backing);

// The message for an errno of opening the path. Pure.
Refusal WhyNotBacking(const std::string& path, BackingKind kind, int error);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_BACKING_CHECK_H_
