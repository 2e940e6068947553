#include "backing_options.h"

namespace uzswap::cli {
namespace {

Refusal BadValue(const std::string& option, const std::string& value, const char* why,
                 const std::string& example) {
  return {kCannotDo, option + ": '" + value + "' " + why, option + " " + example};
}

Refusal WithoutPath(const std::string& option, const char* variable) {
  return {kCannotDo, option + " has no effect without --backing",
          "add --backing PATH, as in --backing /var/tmp, or leave out " + option + " (and unset " +
              variable + ")"};
}

std::optional<Refusal> NeedsPath(const BackingRequest& asked) {
  if (asked.path) {
    if (asked.path->empty()) {
      return Refusal{kCannotDo, "--backing: the path is empty",
                     "name a folder, as in --backing /var/tmp, or leave out --backing"};
    }
    return std::nullopt;
  }
  if (asked.size) return WithoutPath("--backing-size", kBackingSizeVariable);
  if (asked.write_limit) return WithoutPath("--backing-write-limit", kWriteLimitVariable);
  if (asked.encrypt) return WithoutPath("--encrypt", kEncryptVariable);
  return std::nullopt;
}

}  // namespace

OrRefusal<Options> DecideBacking(const BackingRequest& asked, Options options) {
  if (const auto refusal = NeedsPath(asked)) return *refusal;
  if (asked.size) {
    const ParsedBound size = ParseBackingSize(*asked.size);
    if (!size.ok()) return BadValue("--backing-size", *asked.size, size.error, "4G");
    options.backing_size = size.bytes;
  }
  if (asked.write_limit) {
    const ParsedBound limit = ParseWriteLimit(*asked.write_limit);
    if (!limit.ok()) {
      return BadValue("--backing-write-limit", *asked.write_limit, limit.error, "10G/d");
    }
    options.write_limit = limit.bytes;
    options.write_period_s = limit.period_s;
  }
  if (asked.pool_limit) {
    const ParsedBound pool = ParsePoolLimit(*asked.pool_limit, options.limit);
    if (!pool.ok() && !asked.pool_limit_is_inherited) {
      return BadValue("--pool-limit", *asked.pool_limit, pool.error, "20%");
    }
    if (pool.ok()) options.pool_limit = pool.bytes;
  }
  options.encrypt = asked.encrypt;
  return options;
}

}  // namespace uzswap::cli
