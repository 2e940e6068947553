#include "command_line.h"

#include <stdlib.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <string_view>

#include "base/parse_size.h"
#include "manuals.h"
#include "uzswap_build.h"

namespace uzswap::cli {
namespace {

constexpr char kUsageFix[] = "uzswap run --limit 200M -- CMD, or see uzswap help run";
constexpr char kCommands[] = "run, check, advise, train, ps, top, set or shrink";

struct RawOptions {
  std::string limit;
  std::string codec = "auto";
  std::string pool = "zsmalloc";
  std::string pool_limit;
  std::string backing;
  std::string backing_size;
  std::string write_limit;
  bool encrypt = false;
  std::string dictionary = "auto";
  std::string engine = "sibling";
  std::string stats;
  std::string metrics;
  bool summary = false;
  bool no_follow = false;
};

void DescribeBacking(CLI::App& run, RawOptions& raw) {
  run.add_option("--pool-limit", raw.pool_limit,
                 "memory of the compressed pools, for example 40M or 20% of the limit; default: 20%"
                 " with --backing, else the limit itself")
      ->envname(kPoolLimitVariable)
      ->type_name("SIZE|PERCENT%");
  run.add_option("--backing", raw.backing,
                 "file, folder or block device for the coldest pages; usually a folder on a disk,"
                 " for example /var/tmp")
      ->envname(kBackingVariable)
      ->type_name("PATH");
  run.add_option("--backing-size", raw.backing_size,
                 "maximum bytes of all backing files together, for example 4G; default: no bound")
      ->envname(kBackingSizeVariable)
      ->type_name("SIZE");
  run.add_option(
         "--backing-write-limit", raw.write_limit,
         "maximum bytes written in a period, for example 10G/d or 50M/s (/s, /min, /h, /d; without"
         " one a day); default: no bound")
      ->envname(kWriteLimitVariable)
      ->type_name("SIZE[/PERIOD]");
  run.add_flag("--encrypt", raw.encrypt,
               "encrypt what is written, with a key that only the process has")
      ->envname(kEncryptVariable);
}

void DescribeRun(CLI::App& run, RawOptions& raw) {
  run.add_option("--limit", raw.limit,
                 "memory of the whole process tree, for example 200M or 1.5G, or auto: the cgroup's"
                 " limit minus a headroom")
      ->envname(kLimitVariable)
      ->type_name("SIZE|auto");
  run.add_option("--codec", raw.codec,
                 "auto (by what both cost here), lz4 (fast) or zstd (small); default auto")
      ->envname(kCodecVariable)
      ->type_name("NAME");
  run.add_option("--pool", raw.pool, "zsmalloc (dense) or zbud (simple); default zsmalloc")
      ->envname(kPoolVariable)
      ->type_name("NAME");
  run.add_option("--dictionary", raw.dictionary,
                 "auto (learn one from the pages), off, or a file of `uzswap train` to start with;"
                 " default auto")
      ->envname(kDictionaryVariable)
      ->type_name("auto|off|FILE");
  DescribeBacking(run, raw);
  run.add_option("--engine", raw.engine,
                 "sibling (a process beside each program) or threads (inside of it); default"
                 " sibling, threads where it is not possible")
      ->envname(kEngineVariable)
      ->type_name("NAME");
  run.add_option("--stats", raw.stats, "write statistics as JSON, live and at the end")
      ->envname("UZSWAP_STATS")
      ->type_name("FILE");
  run.add_option("--metrics", raw.metrics,
                 "figures for Prometheus: unix:PATH, HOST:PORT, or a file for node_exporter")
      ->envname("UZSWAP_METRICS")
      ->type_name("unix:PATH|HOST:PORT|FILE");
  run.add_flag("--summary", raw.summary, "print a short table to standard error at the end")
      ->envname("UZSWAP_SUMMARY");
  run.add_flag("--no-follow", raw.no_follow,
               "do not repair the environment of programs that CMD starts without LD_PRELOAD")
      ->envname(kNoFollowVariable);
  run.prefix_command();
  run.footer(
      "\nThe exit status is that of CMD, or 125 if uzswap cannot do what was asked, 126 if CMD\n"
      "cannot be executed, 127 if CMD is not found.");
}

void DescribeAdvise(CLI::App& advise, AdviseRequest& request) {
  advise.add_option("--pages", request.pages, "a file of raw 4 KiB pages")->type_name("FILE");
  advise.add_option("pid", request.pid, "a running process; a sample of its memory is read")
      ->type_name("PID");
  advise.add_flag("--json", request.json, "print JSON instead of a table");
}

void DescribeTrain(CLI::App& train, TrainRequest& request, std::string& size) {
  train.add_option("--pages", request.pages, "a file of raw 4 KiB pages")->type_name("FILE");
  train.add_option("pid,--pid", request.pid, "a running process; a sample of its memory is read")
      ->type_name("PID");
  train.add_option("-o,--output", request.output, "where the dictionary is written")
      ->type_name("FILE");
  train.add_option("--size", size, "maximum bytes of the dictionary, 1K to 64K; default 16K")
      ->type_name("SIZE");
}

void DescribeTop(CLI::App& top, TopRequest& request, std::string& order) {
  top.add_flag("--once", request.once, "print once, without a terminal");
  top.add_option("--interval", request.interval_s,
                 "seconds between two refreshes, 0.1 to 60; default 1")
      ->type_name("SECONDS");
  top.add_option("--sort", order, "used, stall, faults, pool or pid; default used")
      ->type_name("ORDER");
}

void DescribeSet(CLI::App& set, SetRequest& request) {
  set.add_option("id", request.id, "the run: its number, or that of one of its processes")
      ->type_name("ID")
      ->required();
  set.add_option("changes", request.changes,
                 "limit=SIZE, pool-limit=SIZE, pool-limit=N%, codec=NAME, write-limit=SIZE/PERIOD")
      ->type_name("NAME=VALUE")
      ->required();
}

void DescribeShrink(CLI::App& shrink, ShrinkRequest& request) {
  shrink.add_option("id", request.id, "the run: its number, or that of one of its processes")
      ->type_name("ID")
      ->required();
  shrink.add_option("--to", request.to, "what it shall use; default: as little as possible")
      ->type_name("SIZE");
}

Refusal Usage(const std::string& cause, const std::string& fix = kUsageFix) {
  return {kCannotDo, cause, fix};
}

// Under an outer runner the variables are that runner's, unless they have changed since.
bool IsInherited(const char* variable, const std::optional<std::string>& value) {
  const char* session = getenv(kSessionVariable);
  const char* there = getenv(variable);
  return session != nullptr && *session != '\0' && there != nullptr && value == there;
}

BackingRequest ToBackingRequest(const RawOptions& raw, const CLI::App& run) {
  const auto given = [&](const char* option, const std::string& text) {
    return run.get_option(option)->count() > 0 ? std::optional<std::string>(text) : std::nullopt;
  };
  BackingRequest backing;
  backing.path = given("--backing", raw.backing);
  backing.size = given("--backing-size", raw.backing_size);
  backing.write_limit = given("--backing-write-limit", raw.write_limit);
  backing.pool_limit = given("--pool-limit", raw.pool_limit);
  backing.encrypt = raw.encrypt;
  backing.path_is_inherited = IsInherited(kBackingVariable, backing.path);
  backing.pool_limit_is_inherited = IsInherited(kPoolLimitVariable, backing.pool_limit);
  return backing;
}

Request ToRunRequest(const RawOptions& raw, const CLI::App& run, std::vector<std::string> command) {
  if (command.empty()) return Usage("no command to run");
  const std::optional<CodecMode> codec = CodecModeByName(raw.codec);
  if (!codec)
    return Usage("--codec: '" + raw.codec + "' is not known", "--codec auto, lz4 or zstd");
  const std::optional<PoolKind> pool = PoolKindByName(raw.pool);
  if (!pool) return Usage("--pool: '" + raw.pool + "' is not known", "--pool zsmalloc or zbud");
  const std::optional<EngineHome> engine = EngineHomeByName(raw.engine);
  if (!engine) {
    return Usage("--engine: '" + raw.engine + "' is not known", "--engine sibling or threads");
  }

  RunRequest request;
  if (run.get_option("--limit")->count() > 0) request.limit = raw.limit;
  request.codec = *codec;
  request.pool = *pool;
  request.engine = *engine;
  if (raw.dictionary.empty()) return Usage("--dictionary: it is empty", "--dictionary auto");
  if (raw.dictionary == "off") request.dictionary = DictionaryMode::kOff;
  if (raw.dictionary != "off" && raw.dictionary != "auto") request.dictionary_file = raw.dictionary;
  request.backing = ToBackingRequest(raw, run);
  if (!raw.stats.empty()) request.stats = raw.stats;
  if (!raw.metrics.empty()) request.metrics = raw.metrics;
  request.summary = raw.summary;
  request.no_follow = raw.no_follow;
  request.command = std::move(command);
  return request;
}

Request ToTrainRequest(TrainRequest request, const std::string& size) {
  if (request.pages.empty() == (request.pid == 0)) {
    return Usage("train needs either the number of a process or a file of pages",
                 "uzswap train PID -o NAME.dict, or uzswap train --pages FILE -o NAME.dict");
  }
  if (request.output.empty()) {
    return Usage("train needs a file to write to", "-o NAME.dict");
  }
  if (!size.empty()) {
    const ParsedSize parsed = ParseSize(size);
    if (!parsed.ok()) {
      return Usage("--size: '" + size + "' " + Describe(parsed.error), "--size 16K");
    }
    if (parsed.bytes.raw() < kTrainBytesMin || parsed.bytes.raw() > kDictionaryBytesMax) {
      return Usage("--size: '" + size + "' is not between 1K and 64K", "--size 16K");
    }
    request.bytes = parsed.bytes.raw();
  }
  return request;
}

Request ToTopRequest(TopRequest request, const std::string& order) {
  const std::optional<TopOrder> known = TopOrderByName(order);
  if (!known) {
    return Usage("--sort: '" + order + "' is not known", "--sort used, stall, faults, pool or pid");
  }
  request.order = *known;
  // Also false for what is no number.
  const bool fits = request.interval_s >= kTopIntervalMin && request.interval_s <= kTopIntervalMax;
  if (!fits) return Usage("--interval is not between 0.1 and 60 seconds", "--interval 1");
  return request;
}

Request ToHelp(const std::string& command) {
  const std::optional<std::string_view> manual = ManualOf(command);
  if (!manual) {
    return Usage("help: there is no command '" + command + "'",
                 std::string("uzswap help ") + kCommands);
  }
  return PrintRequest{std::string(*manual)};
}

// `command` has the words from "--" on.
Request Dispatch(const std::vector<std::string>& words, std::vector<std::string> command) {
  CLI::App app("Runs a program in less memory than it needs: cold pages are compressed.", "uzswap");
  app.set_version_flag("--version", std::string("uzswap ") + kVersion);
  RawOptions raw;
  CLI::App* run = app.add_subcommand("run", "run a command under a memory limit");
  DescribeRun(*run, raw);
  CheckRequest checking;
  CLI::App* check = app.add_subcommand("check", "report whether uzswap works on this machine");
  check->add_flag("--container", checking.container, "print what a container needs for uzswap");
  AdviseRequest advice;
  CLI::App* advise = app.add_subcommand("advise", "report how well given pages compress");
  DescribeAdvise(*advise, advice);
  TrainRequest training;
  std::string training_size;
  CLI::App* train = app.add_subcommand("train", "make a dictionary from pages like those of a run");
  DescribeTrain(*train, training, training_size);
  PsRequest list;
  CLI::App* ps = app.add_subcommand("ps", "list the runs on this machine and their processes");
  ps->add_flag("--json", list.json, "print JSON");
  TopRequest watching;
  std::string order = Name(watching.order);
  CLI::App* top = app.add_subcommand("top", "watch the runs on this machine and their processes");
  DescribeTop(*top, watching, order);
  SetRequest setting;
  CLI::App* set = app.add_subcommand("set", "change the options of a run");
  DescribeSet(*set, setting);
  ShrinkRequest shrinking;
  CLI::App* shrink = app.add_subcommand("shrink", "have a run use less memory for a while");
  DescribeShrink(*shrink, shrinking);
  CLI::App* help = app.add_subcommand("help", "print the manual page of a command");
  std::string topic;
  help->add_option("command", topic, kCommands);
  app.require_subcommand(1);

  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    const std::vector<CLI::App*> parsed = app.get_subcommands();
    return PrintRequest{parsed.empty() ? app.help() : parsed.front()->help("uzswap")};
  } catch (const CLI::CallForVersion&) {
    return PrintRequest{std::string("uzswap ") + kVersion + "\n"};
  } catch (const CLI::ParseError& error) {
    return Usage(error.what());
  }
  if (check->parsed()) return checking;
  if (advise->parsed()) {
    if (advice.pages.empty() == (advice.pid == 0)) {
      return Usage("advise needs either the number of a process or a file of pages",
                   "uzswap advise PID, or uzswap advise --pages FILE");
    }
    return advice;
  }
  if (train->parsed()) return ToTrainRequest(training, training_size);
  if (ps->parsed()) return list;
  if (set->parsed()) return setting;
  if (shrink->parsed()) return shrinking;
  if (top->parsed()) return ToTopRequest(watching, order);
  if (help->parsed()) return ToHelp(topic);
  std::vector<std::string> rest = run->remaining();
  // The first "--" ends the options. A "--" after the command's name belongs to the command.
  if (rest.empty() && !command.empty()) command.erase(command.begin());
  if (!rest.empty() && rest[0].size() > 1 && rest[0][0] == '-') {
    return Usage("unknown option '" + rest[0] + "'");
  }
  rest.insert(rest.end(), std::make_move_iterator(command.begin()),
              std::make_move_iterator(command.end()));
  return ToRunRequest(raw, *run, std::move(rest));
}

}  // namespace

Request ParseCommandLine(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return Usage("no subcommand was given", "uzswap help");
  // The words after "--" belong to CMD and are not parsed.
  const auto dashes = std::find(words.begin(), words.end(), "--");
  std::vector<std::string> command(dashes, words.end());
  words.erase(dashes, words.end());
  return Dispatch(words, std::move(command));
}

}  // namespace uzswap::cli
