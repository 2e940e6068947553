// `uzswap set` and `uzswap shrink`: change the limits of a run, or have it use less for a while.
//
//   uzswap set ID limit=300M          uzswap shrink ID --to 200M
//        │                                  │
//        │ lower than before?  ──yes──> ShrinkWatch: ask the run's processes through the session's
//        │                                  │         memory, and look how much they use
//        │                                  ├── reached ──────────────────────> done
//        └── Session::SetLimits <── set ────┤
//                                           └── no progress for kPatienceNs ──> refused, as before
//
// ID is the number of the runner or of any process of the run (`uzswap ps`). The processes follow
// within a step of reclaim. So a lower limit comes into force when usage is below it: no page fault
// has to wait for that, and a limit that cannot be kept is refused.
//
// The kernel permits it to the user of the run and to root, because it lets nobody else open the
// session (find_sessions.h). One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_CONTROL_H_
#define UZSWAP_APPS_CLI_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "find_sessions.h"
#include "refusal.h"
#include "session/options.h"

namespace uzswap::cli {

struct SetRequest {
  uint32_t id = 0;
  std::vector<std::string> changes;  // "limit=300M", "pool-limit=20%"
};

struct ShrinkRequest {
  uint32_t id = 0;
  std::string to;  // empty: as far as possible
};

struct NewLimits {
  Bytes limit;
  Bytes pool_limit;  // zero: none
  std::string note;  // one sentence for standard error, or empty
};
// `now` are the options of the run. A pool limit that is not named keeps its share of the limit.
// Pure.
OrRefusal<NewLimits> DecideNewLimits(const Options& now, const std::vector<std::string>& changes,
                                     Bytes machine);

// Whether a run that was asked to shrink gets there. Pure.
class ShrinkWatch {
 public:
  static constexpr uint64_t kPatienceNs = 3'000'000'000;
  static constexpr Bytes kProgressMin{256 << 10};

  enum class State : uint8_t { kGoesOn, kReached, kStuck };

  ShrinkWatch(Bytes to, uint64_t now_ns) : to_(to), progress_ns_(now_ns) {}
  State Note(Bytes usage, uint64_t now_ns);

 private:
  Bytes to_;
  Bytes least_{UINT64_MAX};
  uint64_t progress_ns_;
};

// The session of the run that `id` names, or why there is none.
OrRefusal<FoundSession> FindRun(FoundSessions found, uint32_t id);

int SetCommand(const SetRequest& request);
int ShrinkCommand(const ShrinkRequest& request);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_CONTROL_H_
