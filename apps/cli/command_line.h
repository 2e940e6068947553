// ParseCommandLine: turns argv and the environment into a request. Only this file uses CLI11.
//
//     uzswap run [options] [--] CMD ARG...      options end at the first word that is not one
//     uzswap check [--container]
//     uzswap advise --pages FILE [--json]    uzswap advise PID [--json]
//     uzswap train --pages FILE -o NAME.dict    uzswap train PID -o NAME.dict
//     uzswap ps [--json]
//     uzswap top [--once] [--interval SECONDS] [--sort ORDER]
//     uzswap set ID limit=SIZE pool-limit=SIZE|N% codec=NAME write-limit=SIZE/PERIOD|off
//     uzswap shrink ID [--to SIZE]
//     uzswap help [run|check|advise|train|ps|top|set|shrink]    uzswap --help    uzswap --version
//
// An option overrides its environment variable. An empty variable counts as unset.
#ifndef UZSWAP_APPS_CLI_COMMAND_LINE_H_
#define UZSWAP_APPS_CLI_COMMAND_LINE_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "advise.h"
#include "backing_options.h"
#include "control.h"
#include "ps_command.h"
#include "refusal.h"
#include "session/options.h"
#include "top_command.h"
#include "train_command.h"

namespace uzswap::cli {

struct RunRequest {
  std::optional<std::string> limit;
  CodecMode codec = CodecMode::kAuto;
  PoolKind pool = PoolKind::kZsmalloc;
  EngineHome engine = EngineHome::kSibling;
  DictionaryMode dictionary = DictionaryMode::kAuto;
  std::optional<std::string> dictionary_file;  // to start with
  BackingRequest backing;
  std::optional<std::string> stats;
  std::optional<std::string> metrics;
  bool summary = false;
  bool no_follow = false;
  std::vector<std::string> command;
};

struct CheckRequest {
  bool container = false;  // also tell what a container lacks
};

// Text for standard output, status 0.
struct PrintRequest {
  std::string text;
};

using Request = std::variant<RunRequest, CheckRequest, AdviseRequest, TrainRequest, PsRequest,
                             TopRequest, SetRequest, ShrinkRequest, PrintRequest, Refusal>;

Request ParseCommandLine(int argc, const char* const* argv);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_COMMAND_LINE_H_
