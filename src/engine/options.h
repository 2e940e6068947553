// Options: what one `uzswap run` was asked for, as the engine inside the program gets it.
//
// The runner checks them, writes them into the session (engine/session.h) and repeats them in
// the environment, where a process finds them that cannot reach the session any more.
//
//     UZSWAP_LIMIT=200M    UZSWAP_CODEC=lz4|zstd    UZSWAP_POOL=zsmalloc|zbud
//
// Plain data. Reads only what it is given: no getenv, no locale, no allocation.
#ifndef UZSWAP_ENGINE_OPTIONS_H_
#define UZSWAP_ENGINE_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace uzswap {

enum class CodecKind : uint32_t { kLz4 = 0, kZstd = 1 };
enum class PoolKind : uint32_t { kZsmalloc = 0, kZbud = 1 };

struct Options {
  Bytes limit{};  // of the whole tree of processes; zero: none was given
  CodecKind codec = CodecKind::kLz4;
  PoolKind pool = PoolKind::kZsmalloc;
};

// Below this the engine's own working memory would leave the program nothing.
inline constexpr Bytes kLimitMin{uint64_t{8} << 20};

inline constexpr char kLimitVariable[] = "UZSWAP_LIMIT";
inline constexpr char kCodecVariable[] = "UZSWAP_CODEC";
inline constexpr char kPoolVariable[] = "UZSWAP_POOL";
inline constexpr char kSessionVariable[] = "UZSWAP_SESSION";

std::optional<CodecKind> ParseCodec(std::string_view name);
std::optional<PoolKind> ParsePool(std::string_view name);
const char* Name(CodecKind codec);
const char* Name(PoolKind pool);

// The value of NAME in an `environ`-like, null-terminated array; nothing when it is not there.
// The text is the environment's own.
std::optional<const char*> FindVariable(const char* const* environment, std::string_view name);

// `bad_variable` names the first variable that makes no sense, or is null.
struct [[nodiscard]] EnvironmentOptions {
  Options options;
  const char* bad_variable = nullptr;
};
EnvironmentOptions OptionsFromEnvironment(const char* const* environment);

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_OPTIONS_H_
