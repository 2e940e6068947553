#include "engine/options.h"

#include "base/parse_size.h"

namespace uzswap {

std::optional<CodecKind> ParseCodec(std::string_view name) {
  for (const CodecKind codec : {CodecKind::kLz4, CodecKind::kZstd}) {
    if (name == Name(codec)) return codec;
  }
  return std::nullopt;
}

std::optional<PoolKind> ParsePool(std::string_view name) {
  for (const PoolKind pool : {PoolKind::kZsmalloc, PoolKind::kZbud}) {
    if (name == Name(pool)) return pool;
  }
  return std::nullopt;
}

const char* Name(CodecKind codec) {
  switch (codec) {
    case CodecKind::kLz4:
      return "lz4";
    case CodecKind::kZstd:
      return "zstd";
  }
  return "unknown";
}

const char* Name(PoolKind pool) {
  switch (pool) {
    case PoolKind::kZsmalloc:
      return "zsmalloc";
    case PoolKind::kZbud:
      return "zbud";
  }
  return "unknown";
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
    const std::optional<CodecKind> codec = ParseCodec(*text);
    if (!codec) return {result.options, kCodecVariable};
    result.options.codec = *codec;
  }
  if (const auto text = FindVariable(environment, kPoolVariable)) {
    const std::optional<PoolKind> pool = ParsePool(*text);
    if (!pool) return {result.options, kPoolVariable};
    result.options.pool = *pool;
  }
  return result;
}

}  // namespace uzswap
