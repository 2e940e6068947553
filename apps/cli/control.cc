#include "control.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "base/parse_size.h"
#include "find_sessions.h"
#include "limit.h"
#include "new_options.h"
#include "os/cgroup.h"
#include "os/probe.h"
#include "reclaim/watermarks.h"
#include "refusal.h"
#include "run_lock.h"

namespace uzswap::cli {
namespace {

// Longer than a process needs to publish what it holds now, and far more often than it needs to see
// that it is still asked (engine/shrink_follower.h).
constexpr long kLookEveryNs = 60'000'000;
static_assert(kLookEveryNs > kIntervalMaxNs);

// For this process only.
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

// Asks a run to use less until this ends.
class Asking {
 public:
  explicit Asking(Session& session) : session_(session) {}
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  ~Asking() { session_.AskToShrink(Bytes(0), Bytes(0)); }

  void Ask(const Held& most) { session_.AskToShrink(most.usage, most.pools); }

 private:
  Session& session_;
};

struct Shrunk {
  ShrinkWatch::State state = ShrinkWatch::State::kReached;
  Held held;
};

// Asks for `most`, until the run holds at most `to`, or makes no progress.
Shrunk Shrink(Session& session, Asking& asking, const Held& to, const Held& most) {
  Shrunk result;
  ShrinkWatch watch(to, NowNs());
  const Meter meter(most.usage);
  do {
    asking.Ask(most);
    Pause();
    result.held = HeldBy(session);
    result.state = watch.Note(result.held, NowNs());
    meter.Show(result.held.usage);
  } while (result.state == ShrinkWatch::State::kGoesOn);
  return result;
}

std::string RunName(const FoundSession& run) { return "run " + std::to_string(run.holder()); }

OrRefusal<FoundSession> Find(uint32_t id) {
  return FindRun(FindSessions(), id, os::OwnIdentity().pid_namespace);
}

// As it was: what it is and what it holds.
std::string StillSo(const Options& before) {
  std::string text = "; its limit is still " + Human(before.limit);
  if (before.pool_limit != Bytes(0)) text += ", its pool limit " + Human(before.pool_limit);
  return text;
}

Refusal UsesTooMuch(const FoundSession& run, const Held& held, const Options& before,
                    const Options& wanted) {
  const bool backed = before.backing[0] != '\0';
  return {kCannotDo,
          RunName(run) + " uses " + Human(held.usage) + " and does not shrink to " +
              Human(wanted.limit) + StillSo(before),
          backed ? "give a larger limit, or a larger pool-limit"
                 : "give a larger limit, or start the run with --backing"};
}

Refusal PoolsTooLarge(const FoundSession& run, const Held& held, const Options& before,
                      const Options& wanted) {
  const bool backed = before.backing[0] != '\0';
  return {kCannotDo,
          RunName(run) + " has " + Human(held.pools) + " in its pools and " +
              (backed ? "does not write enough of it to the backing store for "
                      : "no backing store to write to, so they cannot shrink to ") +
              Human(wanted.pool_limit) + StillSo(before),
          backed ? "give a larger pool-limit"
                 : "give a larger pool-limit, or start the run with --backing"};
}

// Has the run hold no more than it may with the options that are wanted. Nothing if it does.
std::optional<Refusal> MakeFit(FoundSession& run, Asking& asking, const Options& before,
                               const NewOptions& decided) {
  const Options& wanted = decided.options;
  // A limit of the pools that was not named follows, and is no reason to refuse.
  const bool lower_pool = decided.names_pool && wanted.pool_limit < before.pool_limit;
  const auto pools = [&] {
    return lower_pool ? PoolsWithin(wanted.pool_limit, run.session.LiveCount()) : Bytes(UINT64_MAX);
  };
  const bool lower = wanted.limit < before.limit;
  if (!lower && !lower_pool) return std::nullopt;
  Pause();
  const Held now = HeldBy(run.session);
  const bool backed = before.backing[0] != '\0';
  if (!backed && lower_pool && now.pools > pools()) return PoolsTooLarge(run, now, before, wanted);
  const Bytes target = WatermarksFor(wanted.limit).target;
  const Held aim{lower ? target : Bytes(UINT64_MAX), pools()};
  const Shrunk shrunk = Shrink(run.session, asking, aim, {target, wanted.pool_limit});
  // The aim is a little below the limit. What is not above the limit can be kept.
  if (lower && shrunk.held.usage > wanted.limit) {
    return UsesTooMuch(run, shrunk.held, before, wanted);
  }
  if (lower_pool && shrunk.held.pools > pools()) {
    return PoolsTooLarge(run, shrunk.held, before, wanted);
  }
  return std::nullopt;
}

std::string WriteLimitText(const Options& options) {
  if (options.write_limit == Bytes(0)) return "off";
  return Human(options.write_limit) + PeriodSuffix(options.write_period_s);
}

void PrintChanges(const FoundSession& run, const Options& before, const Options& now) {
  bool any = false;
  const auto print = [&](bool changed, const char* what, const std::string& is,
                         const std::string& was) {
    any = any || changed;
    if (!changed) return;
    printf("%s: %s %s (was %s)\n", RunName(run).c_str(), what, is.c_str(), was.c_str());
  };
  print(now.limit != before.limit, "limit", Human(now.limit), Human(before.limit));
  print(now.pool_limit != before.pool_limit, "pool limit", Human(now.pool_limit),
        Human(before.pool_limit));
  print(now.codec != before.codec, "codec", Name(now.codec), Name(before.codec));
  const bool writes =
      now.write_limit != before.write_limit || now.write_period_s != before.write_period_s;
  print(writes, "write limit", WriteLimitText(now), WriteLimitText(before));
  if (!any) printf("%s: nothing has changed\n", RunName(run).c_str());
}

Refusal BeingChanged(const FoundSession& run) {
  return {kCannotDo, "another command changes " + RunName(run),
          "wait until it has ended, then repeat this one"};
}

int Set(FoundSession& run, const std::vector<std::string>& changes) {
  const RunLock lock(run.memory);
  if (!lock.held()) return Refuse(BeingChanged(run));
  const os::CgroupLimits cgroup = os::FindCgroupLimits("", std::to_string(run.holder()));
  const Options before = run.session.options();
  const auto decided =
      DecideNewOptions(before, changes, os::Tightest(cgroup.found), os::MachineMemory());
  if (const Refusal* refusal = RefusalOf(decided)) return Refuse(*refusal);
  const NewOptions& wanted = std::get<NewOptions>(decided);
  if (!wanted.note.empty()) fprintf(stderr, "uzswap: %s\n", wanted.note.c_str());
  Asking asking(run.session);
  if (const auto refused = MakeFit(run, asking, before, wanted)) return Refuse(*refused);
  run.session.ChangeOptions(wanted.options);
  PrintChanges(run, before, wanted.options);
  return 0;
}

int Shrink(FoundSession& run, Bytes to, bool as_far_as_possible) {
  const RunLock lock(run.memory);
  if (!lock.held()) return Refuse(BeingChanged(run));
  const Options options = run.session.options();
  Pause();
  const Bytes before = run.session.TreeUsage();
  if (before <= to) {
    printf("%s: uses %s already\n", RunName(run).c_str(), Human(before).c_str());
    return 0;
  }
  Asking asking(run.session);
  const Held aim{to, Bytes(UINT64_MAX)};
  const Shrunk shrunk = Shrink(run.session, asking, aim, {to, PoolLimitAt(options, to)});
  printf("%s: uses %s (was %s)\n", RunName(run).c_str(), Human(shrunk.held.usage).c_str(),
         Human(before).c_str());
  // Without a size, as far as it goes is what was asked for.
  if (as_far_as_possible || shrunk.held.usage <= to) return 0;
  return Refuse({kCannotDo, RunName(run) + " does not shrink to " + Human(to),
                 options.backing[0] != '\0'
                     ? "give a larger size: the pages that are left are in use"
                     : "give a larger size, or start the run with --backing: the pages that are "
                       "left are in use, or do not compress"});
}

}  // namespace

Held HeldBy(const Session& session) {
  const bool backed = session.options().backing[0] != '\0';
  const Bytes pools = session.TreePool();
  const Bytes kept = backed ? session.TreeKeptPool() : Bytes(0);
  // The figures are not of one moment.
  return {session.TreeUsage(), pools - std::min(pools, kept)};
}

Bytes PoolsWithin(Bytes pool_limit, uint32_t processes) {
  // StorageBounds::kPoolMin, and StoragePool::kIdleFrames.
  constexpr uint64_t kOfEach = kPageSize * 128;
  if (pool_limit == Bytes(0)) return Bytes(UINT64_MAX);
  return pool_limit + Bytes(processes * kOfEach);
}

int SetCommand(const SetRequest& request) {
  auto found = Find(request.id);
  if (const Refusal* refusal = RefusalOf(found)) return Refuse(*refusal);
  return Set(std::get<FoundSession>(found), request.changes);
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
  if (to < kLimitMin) {
    return Refuse({kCannotDo,
                   "--to: " + request.to + " is too small to run anything; the minimum is " +
                       Human(kLimitMin),
                   "--to 100M"});
  }
  auto found = Find(request.id);
  if (const Refusal* refusal = RefusalOf(found)) return Refuse(*refusal);
  return Shrink(std::get<FoundSession>(found), to, request.to.empty());
}

}  // namespace uzswap::cli
