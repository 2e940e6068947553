#include "run_command.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "backing_check.h"
#include "broker_process.h"
#include "descriptor_limit.h"
#include "dictionary_files.h"
#include "engine/contention.h"
#include "launch.h"
#include "limit.h"
#include "metrics_export.h"
#include "os/cgroup.h"
#include "os/executable_file.h"
#include "os/probe.h"
#include "os/runnable_tasks.h"
#include "os/thread.h"
#include "program.h"
#include "real_path.h"
#include "session/broker_variable.h"
#include "session/session.h"
#include "signal_relay.h"
#include "stats_file.h"
#include "surroundings.h"
#include "watch.h"

namespace uzswap::cli {
namespace {

// How often the runner looks for ended processes and writes live statistics.
constexpr int kSweepMs = 1000;
constexpr uint64_t kSweepNs = uint64_t{kSweepMs} * 1'000'000;
constexpr int kEmptyAttempts = 40;
constexpr int kEmptyPauseMs = 5;
// An engine frees the memory of its program at its end, which takes a while on a busy machine.
constexpr int kEngineAttempts = 5000;
constexpr int kEnginePauseMs = 1;

void Say(const std::string& text) {
  // If standard error is closed, the error cannot be reported.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

// Everything that is needed to start CMD.
struct Prepared {
  Program program;
  Options options;
  std::vector<std::string> notes;  // sentences for standard error
  std::string preload;
  bool left_out = false;              // CMD runs without the preload library
  std::vector<std::byte> dictionary;  // to start with; empty: none
  std::string dictionary_path;        // absolute, if there is one
  std::optional<ProvedBacking> backing;
  std::unique_ptr<StatsFile> stats;        // null without --stats
  std::unique_ptr<MetricsExport> metrics;  // null without --metrics
};

// Last, because it may create the backing file: nothing is created for a run that is refused.
std::optional<Refusal> PrepareBacking(const BackingRequest& asked, Prepared& prepared) {
  if (asked.path) {
    const auto proved = ProveBacking(*asked.path, asked.path_is_inherited);
    if (const Refusal* refusal = RefusalOf(proved)) return *refusal;
    prepared.backing = std::get<ProvedBacking>(proved);
    UZ_CHECK(SetBacking(prepared.options, prepared.backing->path));
    if (!prepared.backing->note.empty()) prepared.notes.push_back(prepared.backing->note);
  }
  if (prepared.options.pool_limit == Bytes(0)) {
    prepared.options.pool_limit = DefaultPoolLimit(prepared.options);
  }
  return std::nullopt;
}

std::optional<Refusal> PrepareDictionary(const RunRequest& request, Prepared& prepared) {
  prepared.options.dictionary = request.dictionary;
  if (!request.dictionary_file) return std::nullopt;
  auto read = ReadDictionaryFile(*request.dictionary_file);
  if (const Refusal* refusal = RefusalOf(read)) {
    return Refusal{refusal->status, "--dictionary: " + refusal->cause, refusal->fix};
  }
  prepared.dictionary = std::get<std::vector<std::byte>>(std::move(read));
  prepared.dictionary_path = RealPath(*request.dictionary_file);
  return std::nullopt;
}

std::optional<Refusal> PrepareReports(const RunRequest& request, Prepared& prepared) {
  if (request.stats) {
    auto stats = StatsFile::Open(*request.stats);
    if (const Refusal* refusal = RefusalOf(stats)) return *refusal;
    prepared.stats = std::make_unique<StatsFile>(std::get<StatsFile>(std::move(stats)));
  }
  if (request.metrics) {
    auto metrics = MetricsExport::Open(*request.metrics);
    if (const Refusal* refusal = RefusalOf(metrics)) return *refusal;
    prepared.metrics = std::make_unique<MetricsExport>(std::get<MetricsExport>(std::move(metrics)));
  }
  if (prepared.stats && prepared.metrics && prepared.stats->path() == prepared.metrics->file()) {
    return Refusal{kCannotDo, "--stats and --metrics name the same file", "name two files"};
  }
  return std::nullopt;
}

// The order decides which of several causes is reported: limit and options, the command, the
// machine.
OrRefusal<Prepared> Prepare(const RunRequest& request) {
  if (access("/proc/self/exe", F_OK) != 0) {
    return Refusal{kCannotDo,
                   "/proc is not mounted; the processes of a run find each other through it",
                   "as root: mount -t proc proc /proc"};
  }
  Prepared prepared;
  const os::CgroupLimits cgroup = os::FindCgroupLimits();
  auto limit = DecideLimit(request.limit, os::Tightest(cgroup.found), os::MachineMemory());
  if (const Refusal* refusal = RefusalOf(limit)) return *refusal;
  const LimitDecision& decided = std::get<LimitDecision>(limit);
  if (!decided.note.empty()) prepared.notes.push_back(decided.note);
  if (cgroup.hidden) {
    prepared.notes.push_back(
        "a limit of this cgroup may be hidden: /sys/fs/cgroup shows another cgroup namespace\n"
        "  fix: mount -t cgroup2 cgroup2 /sys/fs/cgroup, or give a --limit that is below it");
  }
  auto options = DecideBacking(request.backing, {decided.limit, request.codec, request.pool});
  if (const Refusal* refusal = RefusalOf(options)) return *refusal;
  prepared.options = std::get<Options>(options);
  prepared.options.engine = request.engine;
  if (const auto refusal = PrepareDictionary(request, prepared)) return *refusal;

  const char* search_path = getenv("PATH");
  auto program =
      FindProgram(request.command[0], search_path != nullptr ? search_path : "/bin:/usr/bin");
  if (const Refusal* refusal = RefusalOf(program)) return *refusal;
  prepared.program = std::get<Program>(program);

  const os::UffdProbe probe = os::ProbeUserfaultfd();
  if (!probe.sufficient()) {
    const auto refusal =
        CheckUserfaultfd(probe, os::LookAroundUserfaultfd(), os::ReadKernelRelease().c_str());
    if (refusal) return *refusal;
  }
  auto preload = FindPreloadLibrary();
  if (const Refusal* refusal = RefusalOf(preload)) return *refusal;
  prepared.preload = std::get<std::string>(preload);
  if (os::InspectExecutable(prepared.program.path.c_str()) == os::ExecutableKind::kSanitized) {
    prepared.preload.clear();
    prepared.left_out = true;
    prepared.notes.push_back(
        "'" + request.command[0] +
        "' is built with AddressSanitizer and runs without uzswap; its memory is not limited\n"
        "  fix: build it without -fsanitize=address to run it under a limit");
  }

  if (const auto refusal = PrepareReports(request, prepared)) return *refusal;
  if (const auto refusal = PrepareBacking(request.backing, prepared)) return *refusal;
  return prepared;
}

void WriteStats(const StatsFile& file, const Report& report) {
  if (const int failure = file.Write(ToJson(report)); failure != 0 && !report.running) {
    Say("uzswap: --stats: '" + file.path() + "' could not be written: " + strerror(failure) + "\n");
  }
}

// How CMD ended, if it has ended. Stops the runner when CMD is stopped.
std::optional<siginfo_t> PollEnd(pid_t child, BrokerProcess& broker) {
  while (true) {
    siginfo_t info = {};
    const int options = WEXITED | WSTOPPED | WNOHANG;
    if (waitid(P_PID, static_cast<id_t>(child), &info, options) != 0 || info.si_pid == 0) {
      return std::nullopt;
    }
    if (info.si_code != CLD_STOPPED) return info;
    broker.Start();  // a runner that is stopped cannot
    SignalRelay::FollowStop(info.si_status);
  }
}

// Processes that were orphaned in the tree, the engines' among them, are the runner's children. All
// but `child` are reaped that have ended.
void ReapOrphans(pid_t child, BrokerProcess& broker) {
  while (true) {
    siginfo_t info = {};
    const int look = WEXITED | WNOHANG | WNOWAIT;
    if (waitid(P_ALL, 0, &info, look) != 0 || info.si_pid == 0 || info.si_pid == child) return;
    if (broker.Is(info.si_pid)) {
      broker.ReapIfEnded();
    } else {
      waitid(P_PID, static_cast<id_t>(info.si_pid), nullptr, WEXITED | WNOHANG);
    }
  }
}

void WriteMetrics(const Prepared& prepared, const Watch& watch) {
  if (!prepared.metrics) return;
  const std::string trouble = prepared.metrics->WriteFile(watch);
  if (!trouble.empty()) Say("uzswap: " + trouble + "\n");
}

// Once a second: what does not depend on an event.
void WriteReports(const Prepared& prepared, Watch& watch) {
  watch.Sweep();
  if (prepared.stats && prepared.stats->live()) {
    WriteStats(*prepared.stats, watch.MakeReport(true));
  }
  WriteMetrics(prepared, watch);
}

siginfo_t AwaitEnd(pid_t child, const SignalRelay& signals, Watch& watch, const Prepared& prepared,
                   BrokerProcess& broker) {
  uint64_t swept_ns = os::MonotonicNanoseconds();
  WriteMetrics(prepared, watch);
  std::vector<pollfd> ready;
  while (true) {
    ready = {{signals.descriptor(), POLLIN, 0}, {broker.listener(), POLLIN, 0}};
    if (prepared.metrics) prepared.metrics->AddTo(ready, os::MonotonicNanoseconds());
    if (poll(ready.data(), ready.size(), kSweepMs) > 0) {
      if (ready[1].revents != 0) broker.Start();
      if (signals.Relay(child)) {
        if (const auto ended = PollEnd(child, broker)) return *ended;
        ReapOrphans(child, broker);
      }
    }
    const uint64_t now_ns = os::MonotonicNanoseconds();
    if (prepared.metrics) prepared.metrics->Serve(watch, now_ns);
    // Also where processes of the tree end all the time.
    if (now_ns - swept_ns < kSweepNs) continue;
    swept_ns = now_ns;
    // The start of a short command need not wait for the broker; a long one has it even if somebody
    // kills the runner.
    broker.Start();
    WriteReports(prepared, watch);
  }
}

// The engine of a process that has ended ends a moment later, and counts until then. It is a child
// of the runner if the program was.
void AwaitEngines(const Session& session, const SignalRelay& signals, BrokerProcess& broker) {
  for (int i = 0; i < kEngineAttempts && session.EndingCount() != 0; ++i) {
    broker.StartIfAsked();
    signals.PauseForChild(kEnginePauseMs);
  }
}

// If the runner's executable is not readable, the kernel hides its /proc/PID/fd, which children
// need to join the session.
void MakeSessionReachable() {
  if (getauxval(AT_SECURE) == 0) prctl(PR_SET_DUMPABLE, 1);
}

// How CMD ended, as reported to the caller.
struct End {
  int status = 0;
  int signal = 0;  // 0: by itself
};

End ToEnd(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return {info.si_status, 0};
  return {128 + info.si_status, info.si_status};
}

// A process that is forked early has no time for samples of its own.
void NoteContention(Session& session) {
  os::RunnableTasks tasks;
  if (!tasks.Open()) return;
  const std::optional<uint32_t> runnable = tasks.Count();
  if (!runnable || !Contention::IsHigh(*runnable, tasks.processors())) return;
  session.NoteContended(os::MonotonicNanoseconds() + Contention::kHoldNs);
}

// The kernel may complete the writes of a process after its end, so a few attempts are made. If a
// living process uses the file, it stays as it is.
void LeaveEmpty(const ProvedBacking& backing, const Session& session) {
  for (int i = 0; i < kEmptyAttempts && !EmptyBacking(backing); ++i) {
    if (session.LiveCount() != 0) return;
    poll(nullptr, 0, kEmptyPauseMs);
  }
}

OrRefusal<End> RunPrepared(const RunRequest& request, const Prepared& prepared,
                           const DescriptorLimit& descriptors) {
  Result<Session> made = Session::Create(prepared.options);
  if (!made.ok()) {
    const Error error = made.error();
    return Refusal{kCannotDo, std::string(error.what) + ": " + strerror(error.errno_value), ""};
  }
  Session& session = made.value();
  session.SetDictionary(prepared.dictionary);
  NoteContention(session);
  MakeSessionReachable();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const std::string& note : prepared.notes) Say("uzswap: " + note + "\n");

  Watch watch(session, request.command);
  const SignalRelay signals;
  BrokerProcess broker(session);
  const std::optional<BrokerAddress> address = session.broker();
  const std::string listens = address ? ToBrokerVariable(*address).c_str() : "";
  const auto environment =
      MakeEnvironment(environ, prepared.preload, session.path().c_str(), prepared.options,
                      request.no_follow, listens, prepared.dictionary_path);
  if (prepared.left_out) session.CountUnmanaged();
  const auto launched =
      Launch(prepared.program, request.command, environment, signals, descriptors);
  if (const Refusal* refusal = RefusalOf(launched)) return *refusal;
  const End end = ToEnd(AwaitEnd(std::get<pid_t>(launched), signals, watch, prepared, broker));
  AwaitEngines(session, signals, broker);
  // Not left to the first process of a container, which may not reap.
  ReapOrphans(0, broker);
  broker.EndIfUnused();
  watch.Sweep();
  if (prepared.backing) LeaveEmpty(*prepared.backing, session);
  if (prepared.stats || request.summary) {
    Report report = watch.MakeReport(false);
    report.exit_status = end.status;
    report.signal = end.signal;
    if (prepared.stats) WriteStats(*prepared.stats, report);
    if (request.summary) Say(ToTable(report));
  }
  return end;
}

OrRefusal<End> Run(const RunRequest& request) {
  DescriptorLimit descriptors;
  if (const auto refusal = descriptors.Raise()) return *refusal;
  const auto prepared = Prepare(request);
  if (const Refusal* refusal = RefusalOf(prepared)) return *refusal;
  return RunPrepared(request, std::get<Prepared>(prepared), descriptors);
}

}  // namespace

int RunCommand(const RunRequest& request) {
  const auto outcome = Run(request);
  if (const Refusal* refusal = RefusalOf(outcome)) {
    Say(Render(*refusal));
    return refusal->status;
  }
  const End end = std::get<End>(outcome);
  if (end.signal != 0) SignalRelay::DieBy(end.signal);
  return end.status;
}

}  // namespace uzswap::cli
