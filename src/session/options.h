// Options: the options of one `uzswap run`, as the engine inside the program receives them.
//
// The runner checks them and writes them into the session (session/session.h). It also sets
// environment variables, for a process that can no longer open the session.
//
//     UZSWAP_LIMIT=200M              UZSWAP_CODEC=auto|lz4|zstd  UZSWAP_POOL=zsmalloc|zbud
//     UZSWAP_POOL_LIMIT=40M|20%
//     UZSWAP_BACKING=/var/tmp        UZSWAP_BACKING_SIZE=4G   UZSWAP_BACKING_WRITE_LIMIT=10G/d
//     UZSWAP_ENCRYPT=1               UZSWAP_ENGINE=sibling|threads
//     UZSWAP_DICTIONARY=auto|off|FILE
//
//       limit ├───────────────────────────────────────────────┤ resident + pools + tables
//  pool_limit ├─────────┤ pools; colder pages are written to ──> backing ├───────┤ backing_size
//                                                               at most write_limit a period
//
// Invariants of checked options: pool_limit <= limit; the path is absolute and ends with a zero;
// without a path there is no size limit, no write limit and no encryption.
//
// Plain data. The functions read only their arguments: no getenv, no locale, no allocation. Any
// thread.
#ifndef UZSWAP_SESSION_OPTIONS_H_
#define UZSWAP_SESSION_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"
#include "codec/codec_id.h"
#include "pool/pool_kind.h"

namespace uzswap {

// With the terminating zero. Longer paths are refused with a message.
inline constexpr size_t kBackingPathMax = 1024;

// Where the threads of the engine are.
enum class EngineHome : uint8_t {
  kSibling,  // in a process of their own beside each program; threads where this is not possible
  kThreads,  // in the program
};
const char* Name(EngineHome home);
std::optional<EngineHome> EngineHomeByName(std::string_view name);

// Whether pages are compressed with dictionaries.
enum class DictionaryMode : uint8_t {
  kAuto,  // learned from the program's pages; a file of the user's is where that begins
  kOff,
};

struct Options {
  Bytes limit{};  // of the whole tree of processes; zero: none was given
  CodecMode codec = CodecMode::kAuto;
  PoolKind pool = PoolKind::kZsmalloc;
  Bytes pool_limit{};    // of the tree's pools together; zero: the limit itself is the bound
  Bytes backing_size{};  // of the tree's backing files together; zero: no bound
  Bytes write_limit{};   // bytes written in each write_period_s; zero: no limit
  uint32_t write_period_s = 0;
  bool encrypt = false;
  EngineHome engine = EngineHome::kSibling;
  DictionaryMode dictionary = DictionaryMode::kAuto;
  char backing[kBackingPathMax] = {};  // absolute path; empty: none
};

// With less, the engine's own memory would leave nothing for the program.
inline constexpr Bytes kLimitMin{uint64_t{8} << 20};
// One percent of the smallest limit is more than this.
inline constexpr Bytes kPoolLimitMin{uint64_t{64} << 10};
// A few segments; in less space nothing could be written.
inline constexpr Bytes kBackingSizeMin{uint64_t{1} << 20};

inline constexpr char kLimitVariable[] = "UZSWAP_LIMIT";
inline constexpr char kCodecVariable[] = "UZSWAP_CODEC";
inline constexpr char kPoolVariable[] = "UZSWAP_POOL";
inline constexpr char kPoolLimitVariable[] = "UZSWAP_POOL_LIMIT";
inline constexpr char kBackingVariable[] = "UZSWAP_BACKING";
inline constexpr char kBackingSizeVariable[] = "UZSWAP_BACKING_SIZE";
inline constexpr char kWriteLimitVariable[] = "UZSWAP_BACKING_WRITE_LIMIT";
inline constexpr char kEncryptVariable[] = "UZSWAP_ENCRYPT";
inline constexpr char kEngineVariable[] = "UZSWAP_ENGINE";
inline constexpr char kDictionaryVariable[] = "UZSWAP_DICTIONARY";
inline constexpr char kNoFollowVariable[] = "UZSWAP_NO_FOLLOW";
inline constexpr char kSessionVariable[] = "UZSWAP_SESSION";
inline constexpr char kBrokerVariable[] = "UZSWAP_BROKER";
// All that `uzswap run` sets for its command, besides LD_PRELOAD.
inline constexpr std::string_view kRunVariables[] = {
    kSessionVariable,    kBrokerVariable,    kLimitVariable,   kCodecVariable,
    kPoolVariable,       kPoolLimitVariable, kBackingVariable, kBackingSizeVariable,
    kWriteLimitVariable, kEncryptVariable,   kEngineVariable,  kDictionaryVariable,
    kNoFollowVariable};

// A limit that was parsed. `error` says why it was refused, as the end of a sentence:
// "'12Q' " + "has an unknown unit ...". It is null if the limit was accepted.
struct [[nodiscard]] ParsedBound {
  const char* error = nullptr;
  Bytes bytes{};
  uint32_t period_s = 0;  // of a write limit

  [[nodiscard]] constexpr bool ok() const { return error == nullptr; }
};
// "/d" for a day; empty if no period has this many seconds.
const char* PeriodSuffix(uint32_t seconds);
// "4G".
ParsedBound ParseBackingSize(std::string_view text);
// "10G/d", "50M/s", "1G/h", "100M/min"; "10G" is a day's.
ParsedBound ParseWriteLimit(std::string_view text);
// "40M", or "20%" of the limit; at most all of it.
ParsedBound ParsePoolLimit(std::string_view text, Bytes limit);

// False, and nothing is changed, when the path is not absolute or too long.
[[nodiscard]] bool SetBacking(Options& options, std::string_view path);

// The pool limit if none was given: with a backing file 20 % of the limit, as in the kernel's
// zswap, else none.
Bytes DefaultPoolLimit(const Options& options);

// The value of a variable in a null-terminated array like `environ`; nothing if it is not set. The
// result points into the environment.
std::optional<const char*> FindVariable(const char* const* environment, std::string_view name);

// What the value of a flag means. No: an empty text, "0", "no" and the like, as on the command
// line.
bool IsSet(std::string_view flag);

// `bad_variable` names the first variable that is refused, or is null.
struct [[nodiscard]] EnvironmentOptions {
  Options options;
  const char* bad_variable = nullptr;
};
EnvironmentOptions OptionsFromEnvironment(const char* const* environment);

}  // namespace uzswap

#endif  // UZSWAP_SESSION_OPTIONS_H_
