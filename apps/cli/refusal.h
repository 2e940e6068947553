// Refusal: why `uzswap run` does not start CMD, and what would fix it.
//
//     uzswap: 'server' is a static binary, and only the dynamic loader can put uzswap into it
//       fix: link it dynamically (without -static; ...)
//
// Every refusal names its cause and, if there is one, the command that fixes it. The status is
// 125 if uzswap cannot do what was asked, 126 if the command cannot be executed, and 127 if it
// is not found; env(1) uses the same numbers.
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
  std::string fix;  // may be empty
};

inline std::string Render(const Refusal& refusal) {
  std::string text = "uzswap: " + refusal.cause + "\n";
  if (!refusal.fix.empty()) text += "  fix: " + refusal.fix + "\n";
  return text;
}

// A value or a refusal.
template <typename T>
using OrRefusal = std::variant<T, Refusal>;

template <typename T>
const Refusal* RefusalOf(const OrRefusal<T>& outcome) {
  return std::get_if<Refusal>(&outcome);
}

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_REFUSAL_H_
