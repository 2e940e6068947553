// Options: what one `uzswap run` was asked for, as the engine inside the program gets it.
//
// The runner checks them, writes them into the session (engine/session.h) and repeats them in
// the environment, where a process finds them that cannot reach the session any more.
//
//     UZSWAP_LIMIT=200M              UZSWAP_CODEC=lz4|zstd    UZSWAP_POOL=zsmalloc|zbud
//     UZSWAP_POOL_LIMIT=40M|20%
//     UZSWAP_BACKING=/var/tmp        UZSWAP_BACKING_SIZE=4G   UZSWAP_BACKING_WRITE_LIMIT=10G/d
//     UZSWAP_ENCRYPT=1
//
//       limit ├───────────────────────────────────────────────┤ resident + pools + tables
//  pool_limit ├─────────┤ pools; what is colder leaves for ──> backing ├───────┤ backing_size
//                                                              at most write_limit a period
//
// Invariants of what the runner or OptionsFromEnvironment hands out: pool_limit <= limit; the
// path is absolute and ends with a zero; without a path there is neither size nor write limit
// nor encryption.
//
// Plain data. Reads only what it is given: no getenv, no locale, no allocation. Any thread.
#ifndef UZSWAP_SESSION_OPTIONS_H_
#define UZSWAP_SESSION_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace uzswap {

enum class CodecKind : uint32_t { kLz4 = 0, kZstd = 1 };
enum class PoolKind : uint32_t { kZsmalloc = 0, kZbud = 1 };

// The terminating zero included. Longer paths are refused by name.
inline constexpr size_t kBackingPathMax = 1024;

struct Options {
  Bytes limit{};  // of the whole tree of processes; zero: none was given
  CodecKind codec = CodecKind::kLz4;
  PoolKind pool = PoolKind::kZsmalloc;
  Bytes pool_limit{};    // of the tree's pools together; zero: the limit itself is the bound
  Bytes backing_size{};  // of the tree's backing files together; zero: no bound
  Bytes write_limit{};   // bytes written in each write_period_s; zero: no limit
  uint32_t write_period_s = 0;
  bool encrypt = false;
  char backing[kBackingPathMax] = {};  // absolute path; empty: none
};

// Below this the engine's own working memory would leave the program nothing.
inline constexpr Bytes kLimitMin{uint64_t{8} << 20};
// A percent of the least limit is still a pool.
inline constexpr Bytes kPoolLimitMin{uint64_t{64} << 10};
// A few segments: with less nothing would ever be written.
inline constexpr Bytes kBackingSizeMin{uint64_t{1} << 20};

inline constexpr char kLimitVariable[] = "UZSWAP_LIMIT";
inline constexpr char kCodecVariable[] = "UZSWAP_CODEC";
inline constexpr char kPoolVariable[] = "UZSWAP_POOL";
inline constexpr char kPoolLimitVariable[] = "UZSWAP_POOL_LIMIT";
inline constexpr char kBackingVariable[] = "UZSWAP_BACKING";
inline constexpr char kBackingSizeVariable[] = "UZSWAP_BACKING_SIZE";
inline constexpr char kWriteLimitVariable[] = "UZSWAP_BACKING_WRITE_LIMIT";
inline constexpr char kEncryptVariable[] = "UZSWAP_ENCRYPT";
inline constexpr char kSessionVariable[] = "UZSWAP_SESSION";

std::optional<CodecKind> ParseCodec(std::string_view name);
std::optional<PoolKind> ParsePool(std::string_view name);
const char* Name(CodecKind codec);
const char* Name(PoolKind pool);

// A bound that was asked for. `error` says why it was refused, as the end of a sentence:
// "'12Q' " + "has an unknown unit ..."; null: it is fine.
struct [[nodiscard]] ParsedBound {
  const char* error = nullptr;
  Bytes bytes{};
  uint32_t period_s = 0;  // of a write limit

  [[nodiscard]] constexpr bool ok() const { return error == nullptr; }
};
// "/d" for a day; empty when no period has these seconds.
const char* PeriodSuffix(uint32_t seconds);
// "4G".
ParsedBound ParseBackingSize(std::string_view text);
// "10G/d", "50M/s", "1G/h", "100M/min"; "10G" is a day's.
ParsedBound ParseWriteLimit(std::string_view text);
// "40M", or "20%" of the limit; at most all of it.
ParsedBound ParsePoolLimit(std::string_view text, Bytes limit);

// False, and nothing is changed, when the path is not absolute or too long.
[[nodiscard]] bool SetBacking(Options& options, std::string_view path);

// The pool's bound when none was asked for: with a backing file 20 % of the limit, as the
// kernel's zswap has it, else none.
Bytes DefaultPoolLimit(const Options& options);

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

#endif  // UZSWAP_SESSION_OPTIONS_H_
