// ParseScript: the first line of a script, as the kernel and env(1) read it.
//
//     #!/bin/sh -e                        interpreter /bin/sh
//     #!/usr/bin/env python3              interpreter env, which looks for python3
//     #!/usr/bin/env -S A=b node --flag   the same with a split line: looks for node
#ifndef UZSWAP_APPS_CLI_SCRIPT_H_
#define UZSWAP_APPS_CLI_SCRIPT_H_

#include <optional>
#include <string>
#include <string_view>

namespace uzswap::cli {

struct ScriptLine {
  std::string interpreter;
  // The name that env(1) looks up in PATH, if the interpreter is env and the name is certain.
  std::optional<std::string> env_command;
};

// Nothing when `head` (the beginning of a file) does not start with "#!" and a name.
std::optional<ScriptLine> ParseScript(std::string_view head);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_SCRIPT_H_
