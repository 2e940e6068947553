#include "command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <string_view>

#include "uzswap_version.h"

namespace uzswap::cli {
namespace {

constexpr char kUsageMend[] = "uzswap run --limit 200M -- CMD, or see uzswap help run";

struct RawOptions {
  std::string limit;
  std::string codec = "lz4";
  std::string pool = "zsmalloc";
  std::string backing;
  std::string stats;
  bool summary = false;
};

void DescribeRun(CLI::App& run, RawOptions& raw) {
  run.add_option("--limit", raw.limit,
                 "memory of the whole tree of processes, as 200M or 1.5G, or auto: the cgroup's"
                 " limit less a headroom")
      ->envname(kLimitVariable)
      ->type_name("SIZE|auto");
  run.add_option("--codec", raw.codec, "lz4 (fast) or zstd (small); default lz4")
      ->envname(kCodecVariable)
      ->type_name("NAME");
  run.add_option("--pool", raw.pool, "zsmalloc (dense) or zbud (simple); default zsmalloc")
      ->envname(kPoolVariable)
      ->type_name("NAME");
  run.add_option("--backing", raw.backing, "file or device for the coldest pages (not yet)")
      ->envname("UZSWAP_BACKING")
      ->type_name("PATH");
  run.add_option("--stats", raw.stats, "write statistics as JSON, live and at the end")
      ->envname("UZSWAP_STATS")
      ->type_name("FILE");
  run.add_flag("--summary", raw.summary, "print a short table to standard error at the end")
      ->envname("UZSWAP_SUMMARY");
  run.prefix_command();
  run.footer(
      "\nThe exit status is CMD's; 125 when uzswap cannot do what was asked, 126 when CMD\n"
      "cannot be executed, 127 when it is not found.");
}

void DescribeAdvise(CLI::App& advise, AdviseRequest& request) {
  advise.add_option("--pages", request.pages, "a file of raw 4 KiB pages")->type_name("FILE");
  advise.add_option("pid", request.pid, "a living process, of whose memory a sample is read")
      ->type_name("PID");
  advise.add_flag("--json", request.json, "print JSON instead of a table");
}

Refusal Usage(const std::string& cause, const std::string& mend = kUsageMend) {
  return {kCannotDo, cause, mend};
}

Request ToRunRequest(const RawOptions& raw, bool limit_given, std::vector<std::string> command) {
  if (command.empty()) return Usage("no command to run");
  if (!raw.backing.empty()) {
    return Usage(
        "--backing: writing to a file or device is not built yet; what does not fit"
        " stays compressed in memory",
        "leave out --backing (and unset UZSWAP_BACKING)");
  }
  const std::optional<CodecKind> codec = ParseCodec(raw.codec);
  if (!codec) return Usage("--codec: '" + raw.codec + "' is not known", "--codec lz4 or zstd");
  const std::optional<PoolKind> pool = ParsePool(raw.pool);
  if (!pool) return Usage("--pool: '" + raw.pool + "' is not known", "--pool zsmalloc or zbud");

  RunRequest request;
  if (limit_given) request.limit = raw.limit;
  request.codec = *codec;
  request.pool = *pool;
  if (!raw.stats.empty()) request.stats = raw.stats;
  request.summary = raw.summary;
  request.command = std::move(command);
  return request;
}

// `command` is what follows the words, from "--" on.
Request Dispatch(const std::vector<std::string>& words, std::vector<std::string> command) {
  CLI::App app("Runs a program in less memory than it needs: cold pages are kept compressed.",
               "uzswap");
  app.set_version_flag("--version", std::string("uzswap ") + kVersion);
  RawOptions raw;
  CLI::App* run = app.add_subcommand("run", "run a command under a memory limit");
  DescribeRun(*run, raw);
  CLI::App* check = app.add_subcommand("check", "say what this machine offers uzswap");
  AdviseRequest advice;
  CLI::App* advise = app.add_subcommand("advise", "say what compression would buy on given pages");
  DescribeAdvise(*advise, advice);
  CLI::App* help = app.add_subcommand("help", "print help for a subcommand");
  std::string topic;
  help->add_option("topic", topic, "run, check or advise");
  app.require_subcommand(1);

  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    if (advise->parsed()) return PrintRequest{advise->help("uzswap")};
    return PrintRequest{run->parsed() ? run->help("uzswap") : app.help()};
  } catch (const CLI::CallForVersion&) {
    return PrintRequest{std::string("uzswap ") + kVersion + "\n"};
  } catch (const CLI::ParseError& error) {
    return Usage(error.what());
  }
  if (check->parsed()) return CheckRequest{};
  if (advise->parsed()) {
    if (advice.pages.empty() == (advice.pid == 0)) {
      return Usage("advise wants the number of a process or a file of pages",
                   "uzswap advise PID, or uzswap advise --pages FILE");
    }
    return advice;
  }
  if (help->parsed()) {
    if (topic == "run") return PrintRequest{run->help("uzswap")};
    if (topic == "advise") return PrintRequest{advise->help("uzswap")};
    if (topic == "check") return PrintRequest{check->help("uzswap")};
    return PrintRequest{app.help()};
  }
  std::vector<std::string> rest = run->remaining();
  // The first "--" ends the options; one after the beginning of the command is its own.
  if (rest.empty() && !command.empty()) command.erase(command.begin());
  if (!rest.empty() && rest[0].size() > 1 && rest[0][0] == '-') {
    return Usage("unknown option '" + rest[0] + "'");
  }
  rest.insert(rest.end(), std::make_move_iterator(command.begin()),
              std::make_move_iterator(command.end()));
  return ToRunRequest(raw, run->get_option("--limit")->count() > 0, std::move(rest));
}

}  // namespace

Request ParseCommandLine(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return Usage("what shall I do?", "uzswap help");
  // What follows "--" is CMD's, and no parser of ours looks at it.
  const auto dashes = std::find(words.begin(), words.end(), "--");
  std::vector<std::string> command(dashes, words.end());
  words.erase(dashes, words.end());
  return Dispatch(words, std::move(command));
}

}  // namespace uzswap::cli
