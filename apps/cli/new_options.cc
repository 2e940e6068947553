#include "new_options.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "limit.h"

namespace uzswap::cli {
namespace {

constexpr char kFix[] = "uzswap set ID limit=300M, pool-limit=20%, codec=lz4 or write-limit=10G/d";

struct Assignment {
  std::string_view name;
  std::string value;
};

OrRefusal<Assignment> Split(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals + 1 == text.size()) {
    return Refusal{kCannotDo, "'" + text + "' is not of the form NAME=VALUE", kFix};
  }
  return Assignment{std::string_view(text).substr(0, equals), text.substr(equals + 1)};
}

Refusal BadValue(const Assignment& assignment, const char* why) {
  return {
      kCannotDo,
      std::string(assignment.name) + "=" + assignment.value + ": '" + assignment.value + "' " + why,
      kFix};
}

std::optional<Refusal> SetLimit(const Assignment& assignment, const os::CgroupLimit* cgroup,
                                Bytes machine, NewOptions& to) {
  const auto decided = DecideLimit(assignment.value, cgroup, machine);
  if (const Refusal* refusal = RefusalOf(decided)) {
    return Refusal{kCannotDo, "limit=" + assignment.value + ": " + refusal->cause, kFix};
  }
  to.options.limit = std::get<LimitDecision>(decided).limit;
  to.note = std::get<LimitDecision>(decided).note;
  return std::nullopt;
}

// After the limit, whatever their order: a share is one of the new limit.
std::optional<Refusal> SetPoolLimit(const Assignment& assignment, NewOptions& to) {
  if (to.options.pool_limit == Bytes(0)) {
    return Refusal{kCannotDo, "the run has no limit of its pools, and cannot get one now",
                   "start it with --pool-limit"};
  }
  const ParsedBound pool = ParsePoolLimit(assignment.value, to.options.limit);
  if (!pool.ok()) return BadValue(assignment, pool.error);
  to.options.pool_limit = pool.bytes;
  return std::nullopt;
}

std::optional<Refusal> SetCodec(const Assignment& assignment, NewOptions& to) {
  const std::optional<CodecMode> mode = CodecModeByName(assignment.value);
  if (!mode) return BadValue(assignment, "is not a codec; known are auto, lz4 and zstd");
  to.options.codec = *mode;
  return std::nullopt;
}

std::optional<Refusal> SetWriteLimit(const Assignment& assignment, NewOptions& to) {
  if (to.options.backing[0] == '\0') {
    return Refusal{kCannotDo, "write-limit: the run has no backing store, so nothing is written",
                   "start it with --backing"};
  }
  if (assignment.value == "off") {
    to.options.write_limit = Bytes(0);
    to.options.write_period_s = 0;
    return std::nullopt;
  }
  const ParsedBound limit = ParseWriteLimit(assignment.value);
  if (!limit.ok()) return BadValue(assignment, limit.error);
  to.options.write_limit = limit.bytes;
  to.options.write_period_s = limit.period_s;
  return std::nullopt;
}

}  // namespace

OrRefusal<NewOptions> DecideNewOptions(const Options& now, const std::vector<std::string>& changes,
                                       const os::CgroupLimit* cgroup, Bytes machine) {
  NewOptions wanted{now, "", false};
  std::optional<Assignment> pool;
  for (const std::string& text : changes) {
    const auto split = Split(text);
    if (const Refusal* refusal = RefusalOf(split)) return *refusal;
    const Assignment& assignment = std::get<Assignment>(split);
    std::optional<Refusal> refused;
    if (assignment.name == "limit") {
      refused = SetLimit(assignment, cgroup, machine, wanted);
    } else if (assignment.name == "pool-limit") {
      pool = assignment;
    } else if (assignment.name == "codec") {
      refused = SetCodec(assignment, wanted);
    } else if (assignment.name == "write-limit") {
      refused = SetWriteLimit(assignment, wanted);
    } else {
      refused = Refusal{kCannotDo,
                        "'" + std::string(assignment.name) +
                            "' is not an option that can be changed while a run is on",
                        kFix};
    }
    if (refused) return *refused;
  }
  if (changes.empty()) return Refusal{kCannotDo, "nothing is to be changed", kFix};
  if (pool) {
    wanted.names_pool = true;
    if (const auto refused = SetPoolLimit(*pool, wanted)) return *refused;
  } else {
    wanted.options.pool_limit = PoolLimitAt(now, wanted.options.limit);
  }
  return wanted;
}

Bytes PoolLimitAt(const Options& now, Bytes limit) {
  if (now.pool_limit == Bytes(0) || limit == now.limit) return now.pool_limit;
  if (now.backing[0] == '\0') return std::min(now.pool_limit, limit);
  // In proportion. Another process can have damaged the memory of the session.
  __extension__ typedef unsigned __int128 Wide;
  const uint64_t before = std::max<uint64_t>(now.limit.raw(), 1);
  const Wide scaled = Wide{now.pool_limit.raw()} * limit.raw() / before;
  const Bytes most =
      std::min(Bytes(static_cast<uint64_t>(std::min<Wide>(scaled, UINT64_MAX))), limit);
  return std::max(most, std::min(kPoolLimitMin, limit));
}

}  // namespace uzswap::cli
