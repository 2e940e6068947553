// FindProgram: looks CMD up as the shell would and decides whether uzswap can live in it.
//
//   name ── PATH ──> file ── "#!" ──> interpreter ── "#!" ──> ... ──> ELF file
//                                        │ env X: through PATH again
//   every file on the way must be executable and readable, and must not gain privileges
//   (setuid, setgid, file capabilities: the loader drops LD_PRELOAD there); the last one must
//   be dynamically linked against glibc for this machine.
//
// Looks only; what it found is what is executed afterwards, by path.
#ifndef UZSWAP_APPS_CLI_PROGRAM_H_
#define UZSWAP_APPS_CLI_PROGRAM_H_

#include <string>

#include "refusal.h"

namespace uzswap::cli {

struct Program {
  std::string path;            // to execute
  bool through_shell = false;  // neither ELF nor "#!": as execvp does, /bin/sh reads it
};

// `search_path` is the value of PATH.
OrRefusal<Program> FindProgram(const std::string& name, const std::string& search_path);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_PROGRAM_H_
