// ProveBacking: will the engine be able to open its backing file? Found out by doing it, before
// CMD is started, since the engine can only warn and go on without.
//
//   PATH ── absolute? ── what is there? ── room? ── open it as the engine will, and close it
//             │             │                │          │
//             └─────────────┴──── Refusal ───┴──────────┘
//
// A named file that was not there is there afterwards, and stays. EmptyBacking makes it empty
// again when the run is over, so that the next one finds it as this one did.
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
  // The named file that this run may empty at its end; inode 0: none.
  dev_t file_system = 0;
  ino_t inode = 0;
};

// `may_be_taken`: that another process has it, or has written to it, is accepted.
OrRefusal<ProvedBacking> ProveBacking(const std::string& path, bool may_be_taken);

// False while a process may write to the file or read in it: ask again, or leave it.
[[nodiscard]] bool EmptyBacking(const ProvedBacking& backing);

// What an errno of opening means for who named the path. Pure.
Refusal WhyNotBacking(const std::string& path, BackingKind kind, int error);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_BACKING_CHECK_H_
