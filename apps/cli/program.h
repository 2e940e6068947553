// FindProgram: finds CMD as the shell does, and checks whether uzswap can be loaded into it.
//
//   name ── PATH ──> file ── "#!" ──> interpreter ── "#!" ──> ... ──> ELF file
//                                        │ env X: through PATH again
//   Each file of the chain must be executable and readable. It must not gain privileges (setuid,
//   setgid, file capabilities), because the loader then ignores LD_PRELOAD. The last one must be
//   dynamically linked against glibc for this machine.
//
// Executes nothing. The runner executes the path that was found.
#ifndef UZSWAP_APPS_CLI_PROGRAM_H_
#define UZSWAP_APPS_CLI_PROGRAM_H_

#include <string>

#include "refusal.h"

namespace uzswap::cli {

struct Program {
  std::string path;            // to execute
  bool through_shell = false;  // neither ELF nor "#!": /bin/sh runs it, as with execvp
};

// `search_path` is the value of PATH.
OrRefusal<Program> FindProgram(const std::string& name, const std::string& search_path);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_PROGRAM_H_
