#include "session/options.h"

#include <cstring>

#include "base/parse_size.h"

namespace uzswap {
namespace {

constexpr uint64_t kDefaultPoolPercent = 20;

// Describe(kZero) speaks of memory; this text fits a disk too.
const char* WhyNot(SizeError error) {
  return error == SizeError::kZero ? "is zero: nothing could be stored there" : Describe(error);
}

constexpr struct {
  const char* suffix;
  uint32_t seconds;
} kPeriods[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}, {"/d", 86400}};

uint32_t PeriodOf(std::string_view suffix) {
  for (const auto& period : kPeriods) {
    if (suffix == period.suffix) return period.seconds;
  }
  return 0;
}

constexpr char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool EqualsLower(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (ToLower(text[i]) != lower[i]) return false;
  }
  return true;
}

// 20 % of 2^64 - 1 must not overflow.
Bytes PercentOf(Bytes whole, uint64_t percent) {
  return Bytes(whole.raw() / 100 * percent + whole.raw() % 100 * percent / 100);
}

// The variables that depend on the limit and on each other. Returns the first variable that is
// refused, or null.
const char* TakeBackingVariables(const char* const* environment, Options& options) {
  if (const auto text = FindVariable(environment, kBackingVariable)) {
    if (!SetBacking(options, *text)) return kBackingVariable;
  }
  const bool has_backing = options.backing[0] != '\0';
  if (const auto text = FindVariable(environment, kBackingSizeVariable)) {
    const ParsedBound size = ParseBackingSize(*text);
    if (!size.ok() || !has_backing) return kBackingSizeVariable;
    options.backing_size = size.bytes;
  }
  if (const auto text = FindVariable(environment, kWriteLimitVariable)) {
    const ParsedBound limit = ParseWriteLimit(*text);
    if (!limit.ok() || !has_backing) return kWriteLimitVariable;
    options.write_limit = limit.bytes;
    options.write_period_s = limit.period_s;
  }
  if (const auto text = FindVariable(environment, kEncryptVariable)) {
    options.encrypt = IsSet(*text);
    if (options.encrypt && !has_backing) return kEncryptVariable;
  }
  options.pool_limit = DefaultPoolLimit(options);
  const auto text = FindVariable(environment, kPoolLimitVariable);
  if (text && options.limit != Bytes(0)) {
    const ParsedBound pool = ParsePoolLimit(*text, options.limit);
    if (!pool.ok()) return kPoolLimitVariable;
    options.pool_limit = pool.bytes;
  }
  return nullptr;
}

}  // namespace

// The same texts mean "no" as on the command line.
bool IsSet(std::string_view flag) {
  if (flag.empty()) return false;
  for (const char* no : {"0", "f", "n", "-", "false", "no", "off", "disable"}) {
    if (EqualsLower(flag, no)) return false;
  }
  return true;
}

const char* PeriodSuffix(uint32_t seconds) {
  for (const auto& period : kPeriods) {
    if (period.seconds == seconds) return period.suffix;
  }
  return "";
}

ParsedBound ParseBackingSize(std::string_view text) {
  const ParsedSize size = ParseSize(text);
  if (!size.ok()) return {WhyNot(size.error)};
  if (size.bytes < kBackingSizeMin) return {"is too small to write anything to; the least is 1M"};
  return {nullptr, size.bytes};
}

const char* Name(EngineHome home) { return home == EngineHome::kSibling ? "sibling" : "threads"; }

std::optional<EngineHome> EngineHomeByName(std::string_view name) {
  for (const EngineHome home : {EngineHome::kSibling, EngineHome::kThreads}) {
    if (name == Name(home)) return home;
  }
  return std::nullopt;
}

ParsedBound ParseWriteLimit(std::string_view text) {
  const size_t slash = text.find('/');
  const bool has_period = slash != std::string_view::npos;
  const uint32_t period = PeriodOf(has_period ? text.substr(slash) : "/d");
  if (period == 0) return {"has an unknown period; known are /s, /min, /h and /d, as in 10G/d"};
  const ParsedSize size = ParseSize(text.substr(0, slash));
  if (!size.ok()) return {WhyNot(size.error)};
  return {nullptr, size.bytes, period};
}

ParsedBound ParsePoolLimit(std::string_view text, Bytes limit) {
  Bytes bytes;
  if (!text.empty() && text.back() == '%') {
    const std::optional<uint64_t> percent = ParseDecimal(text.substr(0, text.size() - 1));
    if (!percent || *percent < 1 || *percent > 100) {
      return {"is not a share of the limit; write 1% to 100%, in whole numbers"};
    }
    bytes = PercentOf(limit, *percent);
  } else {
    const ParsedSize size = ParseSize(text);
    if (!size.ok()) return {WhyNot(size.error)};
    bytes = size.bytes;
  }
  if (bytes > limit) return {"is more than the limit, of which the pools are a part"};
  if (bytes < kPoolLimitMin) return {"is too small to store anything in; the least is 64K"};
  return {nullptr, bytes};
}

bool SetBacking(Options& options, std::string_view path) {
  if (path.empty() || path[0] != '/' || path.size() >= kBackingPathMax) return false;
  memset(options.backing, 0, sizeof(options.backing));
  memcpy(options.backing, path.data(), path.size());
  return true;
}

Bytes DefaultPoolLimit(const Options& options) {
  if (options.backing[0] == '\0') return Bytes(0);
  return PercentOf(options.limit, kDefaultPoolPercent);
}

std::optional<const char*> FindVariable(const char* const* environment, std::string_view name) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    if (entry.size() > name.size() && entry[name.size()] == '=' &&
        entry.substr(0, name.size()) == name) {
      return *environment + name.size() + 1;
    }
  }
  return std::nullopt;
}

EnvironmentOptions OptionsFromEnvironment(const char* const* environment) {
  EnvironmentOptions result;
  if (const auto text = FindVariable(environment, kLimitVariable)) {
    const ParsedSize size = ParseSize(*text);
    if (!size.ok() || size.bytes < kLimitMin) return {result.options, kLimitVariable};
    result.options.limit = size.bytes;
  }
  if (const auto text = FindVariable(environment, kCodecVariable)) {
    const std::optional<CodecMode> codec = CodecModeByName(*text);
    if (!codec) return {result.options, kCodecVariable};
    result.options.codec = *codec;
  }
  if (const auto text = FindVariable(environment, kPoolVariable)) {
    const std::optional<PoolKind> pool = PoolKindByName(*text);
    if (!pool) return {result.options, kPoolVariable};
    result.options.pool = *pool;
  }
  if (const auto text = FindVariable(environment, kEngineVariable)) {
    const std::optional<EngineHome> engine = EngineHomeByName(*text);
    if (!engine) return {result.options, kEngineVariable};
    result.options.engine = *engine;
  }
  // A file is the runner's to read: without its session the process learns from the start.
  if (const auto text = FindVariable(environment, kDictionaryVariable)) {
    if (std::string_view(*text) == "off") result.options.dictionary = DictionaryMode::kOff;
  }
  result.bad_variable = TakeBackingVariables(environment, result.options);
  return result;
}

}  // namespace uzswap
