#include "limit.h"

#include <cstdio>

#include "base/parse_size.h"
#include "session/options.h"

namespace uzswap::cli {
namespace {

constexpr char kSizeFix[] = "give a size, as in --limit 200M";

OrRefusal<LimitDecision> BelowBound(Bytes bound, const std::string& source) {
  const Bytes headroom = Headroom(bound);
  if (bound < headroom + kLimitMin) {
    return Refusal{kCannotDo,
                   source + " is " + Human(bound) +
                       ", which leaves no memory after the headroom of " + Human(headroom),
                   "raise the cgroup's limit to at least " + Human(headroom + kLimitMin) +
                       ", or name a limit with --limit SIZE"};
  }
  const Bytes limit = bound - headroom;
  return LimitDecision{limit, "limit " + Human(limit) + ": " + source + ", " + Human(bound) +
                                  ", minus a headroom of " + Human(headroom)};
}

OrRefusal<LimitDecision> Automatic(const os::CgroupLimit* cgroup, Bytes machine) {
  if (cgroup != nullptr && cgroup->bytes < machine) {
    return BelowBound(cgroup->bytes, "the cgroup's limit (" + cgroup->file + ")");
  }
  return BelowBound(machine, "this machine's memory");
}

// memory.high throttles; the other limits call the OOM killer.
const char* ConsequenceOf(const os::CgroupLimit& cgroup) {
  const bool throttles = cgroup.file.ends_with("/memory.high");
  return throttles ? "the kernel slows the program down before uzswap does anything"
                   : "the kernel will kill first";
}

OrRefusal<LimitDecision> Explicit(const std::string& text, const os::CgroupLimit* cgroup,
                                  Bytes machine) {
  const ParsedSize size = ParseSize(text);
  if (!size.ok()) {
    return Refusal{kCannotDo, "--limit: '" + text + "' " + Describe(size.error), kSizeFix};
  }
  if (size.bytes < kLimitMin) {
    return Refusal{
        kCannotDo,
        "--limit: " + text + " is too small to run anything; the minimum is " + Human(kLimitMin),
        "give a larger size, as in --limit 200M"};
  }
  LimitDecision decision{size.bytes, ""};
  if (size.bytes > machine) {
    decision.note = "the limit, " + Human(size.bytes) + ", is more than this machine's memory, " +
                    Human(machine) + ", and can never be reached";
  } else if (cgroup != nullptr && size.bytes > cgroup->bytes) {
    decision.note = "the limit, " + Human(size.bytes) + ", is more than the cgroup allows (" +
                    cgroup->file + ": " + Human(cgroup->bytes) + "): " + ConsequenceOf(*cgroup) +
                    "; a limit of 'auto' fits";
  }
  return decision;
}

}  // namespace

// MiB are used up to 10 GiB, so that sizes of programs are easy to compare.
std::string Human(Bytes bytes) {
  struct Unit {
    const char* name;
    int shift;
    uint64_t from;
  };
  constexpr Unit kUnits[] = {{"TiB", 40, uint64_t{1} << 40},
                             {"GiB", 30, uint64_t{10} << 30},
                             {"MiB", 20, uint64_t{1} << 20},
                             {"KiB", 10, 0}};
  const Unit* unit = kUnits;
  while (bytes.raw() < unit->from) ++unit;
  char text[64];
  const double value = static_cast<double>(bytes.raw()) / static_cast<double>(1ull << unit->shift);
  snprintf(text, sizeof(text), "%.1f %s", value, unit->name);
  return text;
}

OrRefusal<LimitDecision> DecideLimit(const std::optional<std::string>& asked,
                                     const os::CgroupLimit* cgroup, Bytes machine) {
  if (!asked) return Automatic(cgroup, machine);
  if (*asked != "auto") return Explicit(*asked, cgroup, machine);
  if (cgroup == nullptr) {
    return Refusal{kCannotDo, "--limit auto: no cgroup limits the memory of this process",
                   "name a limit, as in --limit 200M"};
  }
  return Automatic(cgroup, machine);
}

}  // namespace uzswap::cli
