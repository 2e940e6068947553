// Refusal: why `uzswap run` does not start CMD, and what would mend it.
//
//     uzswap: 'server' is a static binary, and only the dynamic loader can put uzswap into it
//       mend: link it dynamically (without -static; ...)
//
// Every refusal names its cause and, where there is one, the command that mends it. The status
// is 125 when uzswap cannot do what was asked, and as env(1) has it 126 for a command that
// cannot be executed and 127 for one that is not found.
#ifndef UZSWAP_APPS_CLI_REFUSAL_H_
#define UZSWAP_APPS_CLI_REFUSAL_H_

#include <string>
#include <utility>
#include <variant>

namespace uzswap::cli {

inline constexpr int kCannotDo = 125;
inline constexpr int kCannotExecute = 126;
inline constexpr int kNotFound = 127;

struct Refusal {
  int status = kCannotDo;
  std::string cause;
  std::string mend;  // may be empty
};

inline std::string Render(const Refusal& refusal) {
  std::string text = "uzswap: " + refusal.cause + "\n";
  if (!refusal.mend.empty()) text += "  mend: " + refusal.mend + "\n";
  return text;
}

// A value, or the refusal that took its place.
template <typename T>
using OrRefusal = std::variant<T, Refusal>;

template <typename T>
const Refusal* RefusalOf(const OrRefusal<T>& outcome) {
  return std::get_if<Refusal>(&outcome);
}

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_REFUSAL_H_
