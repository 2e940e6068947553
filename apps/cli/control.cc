#include "control.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include "base/parse_size.h"
#include "limit.h"
#include "os/probe.h"
#include "reclaim/watermarks.h"

namespace uzswap::cli {
namespace {

constexpr char kChangesFix[] = "uzswap set ID limit=300M, or pool-limit=20%";
constexpr long kLookEveryNs = 50'000'000;
// If this process is killed, the run is asked for no longer than this.
constexpr uint64_t kAskedNs = 1'000'000'000;

uint64_t NowNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void Pause() {
  const timespec pause = {0, kLookEveryNs};
  nanosleep(&pause, nullptr);
}

int Refuse(const Refusal& refusal) {
  fputs(Render(refusal).c_str(), stderr);
  return refusal.status;
}

// Progress for a person; nothing for a script.
class Meter {
 public:
  explicit Meter(Bytes to) : to_(to), shown_(isatty(STDERR_FILENO) != 0) {}
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;
  ~Meter() {
    if (shown_) fputs("\r\033[K", stderr);
  }
  void Show(Bytes usage) const {
    if (!shown_) return;
    fprintf(stderr, "\r\033[K%s used, going to %s", Human(usage).c_str(), Human(to_).c_str());
    fflush(stderr);
  }

 private:
  Bytes to_;
  bool shown_;
};

struct Shrunk {
  ShrinkWatch::State state;
  Bytes usage;
};

// Asks the run to use at most `to`, until it does or makes no progress.
Shrunk Shrink(Session& session, Bytes to) {
  ShrinkWatch watch(to, NowNs());
  const Meter meter(to);
  Shrunk result{};
  do {
    session.AskToShrink(to, NowNs() + kAskedNs);
    Pause();
    session.MarkDead();
    result.usage = session.TreeUsage();
    result.state = watch.Note(result.usage, NowNs());
    meter.Show(result.usage);
  } while (result.state == ShrinkWatch::State::kGoesOn && session.LiveCount() > 0);
  session.AskToShrink(Bytes(0), 0);
  return result;
}

std::string RunName(const FoundSession& run) { return "run " + std::to_string(run.holder); }

struct Change {
  std::string_view name;
  std::string value;
};

OrRefusal<Change> Split(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals + 1 == text.size()) {
    return Refusal{kCannotDo, "'" + text + "' is not of the form NAME=VALUE", kChangesFix};
  }
  return Change{std::string_view(text).substr(0, equals), text.substr(equals + 1)};
}

OrRefusal<LimitDecision> ParseLimit(const std::string& value, Bytes machine) {
  auto decided = DecideLimit(value, nullptr, machine);
  if (const Refusal* refusal = RefusalOf(decided)) {
    return Refusal{kCannotDo, "limit=" + value + ": " + refusal->cause, kChangesFix};
  }
  return decided;
}

OrRefusal<Bytes> ParsePool(const std::string& value, const Options& now, Bytes limit) {
  if (now.pool_limit == Bytes(0)) {
    return Refusal{kCannotDo, "the run has no limit of its pools, and cannot get one now",
                   "start it with --pool-limit"};
  }
  const ParsedBound pool = ParsePoolLimit(value, limit);
  if (!pool.ok()) {
    return Refusal{kCannotDo, "pool-limit=" + value + ": '" + value + "' " + pool.error,
                   kChangesFix};
  }
  return pool.bytes;
}

// In proportion, without overflow.
Bytes ScaledPool(const Options& now, Bytes limit) {
  const double share =
      static_cast<double>(now.pool_limit.raw()) / static_cast<double>(now.limit.raw());
  const Bytes scaled(static_cast<uint64_t>(share * static_cast<double>(limit.raw())));
  return std::clamp(scaled, kPoolLimitMin, limit);
}

}  // namespace

OrRefusal<NewLimits> DecideNewLimits(const Options& now, const std::vector<std::string>& changes,
                                     Bytes machine) {
  NewLimits wanted{now.limit, now.pool_limit, ""};
  std::optional<std::string> pool;
  for (const std::string& text : changes) {
    const auto split = Split(text);
    if (const Refusal* refusal = RefusalOf(split)) return *refusal;
    const Change& change = std::get<Change>(split);
    if (change.name == "limit") {
      const auto decided = ParseLimit(change.value, machine);
      if (const Refusal* refusal = RefusalOf(decided)) return *refusal;
      wanted.limit = std::get<LimitDecision>(decided).limit;
      wanted.note = std::get<LimitDecision>(decided).note;
    } else if (change.name == "pool-limit") {
      pool = change.value;
    } else {
      return Refusal{kCannotDo,
                     "'" + std::string(change.name) + "' cannot be changed while a run is on",
                     kChangesFix};
    }
  }
  if (changes.empty()) return Refusal{kCannotDo, "nothing is to be changed", kChangesFix};
  if (pool) {
    const auto parsed = ParsePool(*pool, now, wanted.limit);
    if (const Refusal* refusal = RefusalOf(parsed)) return *refusal;
    wanted.pool_limit = std::get<Bytes>(parsed);
  } else if (now.pool_limit != Bytes(0)) {
    wanted.pool_limit = ScaledPool(now, wanted.limit);
  }
  return wanted;
}

ShrinkWatch::State ShrinkWatch::Note(Bytes usage, uint64_t now_ns) {
  if (usage <= to_) return State::kReached;
  if (least_.raw() - std::min(least_, usage).raw() >= kProgressMin.raw()) {
    least_ = usage;
    progress_ns_ = now_ns;
  }
  return now_ns - progress_ns_ >= kPatienceNs ? State::kStuck : State::kGoesOn;
}

OrRefusal<FoundSession> FindRun(FoundSessions found, uint32_t id) {
  for (FoundSession& each : found.sessions) {
    bool named = each.holder == id;
    each.session.VisitLive(
        [&](const Session::RecordView& record) { named = named || record.process.pid == id; });
    if (named) return std::move(each);
  }
  std::string fix = "uzswap ps lists the runs";
  if (found.unreadable > 0) fix += "; run this as root to see those of other users";
  if (found.other_versions > 0) fix += "; use the version of uzswap that the run was started with";
  return Refusal{kCannotDo, std::to_string(id) + " is not a process of a run that can be seen here",
                 fix};
}

int SetCommand(const SetRequest& request) {
  auto found = FindRun(FindSessions(), request.id);
  if (const Refusal* refusal = RefusalOf(found)) return Refuse(*refusal);
  FoundSession& run = std::get<FoundSession>(found);
  const Options before = run.session.options();
  const auto decided = DecideNewLimits(before, request.changes, os::MachineMemory());
  if (const Refusal* refusal = RefusalOf(decided)) return Refuse(*refusal);
  const NewLimits& wanted = std::get<NewLimits>(decided);
  if (!wanted.note.empty()) fprintf(stderr, "uzswap: %s\n", wanted.note.c_str());

  if (wanted.limit < before.limit) {
    const Shrunk shrunk = Shrink(run.session, WatermarksFor(wanted.limit).target);
    if (shrunk.state == ShrinkWatch::State::kStuck) {
      return Refuse({kCannotDo,
                     RunName(run) + " uses " + Human(shrunk.usage) + " and does not shrink to " +
                         Human(wanted.limit) + "; its limit is still " + Human(before.limit),
                     "give a larger limit, or start the run with --backing"});
    }
  }
  run.session.SetLimits(wanted.limit, wanted.pool_limit);
  printf("%s: limit %s (was %s)\n", RunName(run).c_str(), Human(wanted.limit).c_str(),
         Human(before.limit).c_str());
  if (wanted.pool_limit != before.pool_limit) {
    printf("%s: pool limit %s (was %s)\n", RunName(run).c_str(), Human(wanted.pool_limit).c_str(),
           Human(before.pool_limit).c_str());
  }
  return 0;
}

int ShrinkCommand(const ShrinkRequest& request) {
  Bytes to = kLimitMin;
  if (!request.to.empty()) {
    const ParsedSize size = ParseSize(request.to);
    if (!size.ok()) {
      return Refuse({kCannotDo, "--to: '" + request.to + "' " + Describe(size.error), "--to 100M"});
    }
    to = size.bytes;
  }
  auto found = FindRun(FindSessions(), request.id);
  if (const Refusal* refusal = RefusalOf(found)) return Refuse(*refusal);
  FoundSession& run = std::get<FoundSession>(found);
  const Bytes before = run.session.TreeUsage();
  if (before <= to) {
    printf("%s: uses %s already\n", RunName(run).c_str(), Human(before).c_str());
    return 0;
  }
  const Shrunk shrunk = Shrink(run.session, to);
  printf("%s: uses %s (was %s)\n", RunName(run).c_str(), Human(shrunk.usage).c_str(),
         Human(before).c_str());
  // Without a size, as far as it goes is what was asked for.
  if (shrunk.state != ShrinkWatch::State::kStuck || request.to.empty()) return 0;
  return Refuse({kCannotDo, RunName(run) + " does not shrink to " + Human(to),
                 "its pages are in use, or do not compress; start it with --backing"});
}

}  // namespace uzswap::cli
