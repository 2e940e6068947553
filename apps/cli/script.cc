#include "script.h"

#include <vector>

namespace uzswap::cli {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = Trim(text); !text.empty(); text = Trim(text)) {
    const size_t end = text.find_first_of(kBlanks);
    words.push_back(text.substr(0, end));
    text.remove_prefix(words.back().size());
  }
  return words;
}

bool IsEnv(std::string_view interpreter) {
  return interpreter.substr(interpreter.rfind('/') + 1) == "env";
}

// The kernel hands env the rest of the line as one argument; only -S splits it again.
std::optional<std::string> EnvCommand(std::string_view argument) {
  for (const std::string_view flag : {"-S", "-vS", "--split-string="}) {
    if (argument.substr(0, flag.size()) != flag) continue;
    for (const std::string_view word : Words(argument.substr(flag.size()))) {
      if (word[0] == '-' || word.find('=') != std::string_view::npos) continue;
      return std::string(word);
    }
    return std::nullopt;
  }
  if (argument.empty() || argument[0] == '-') return std::nullopt;
  return std::string(argument);
}

}  // namespace

std::optional<ScriptLine> ParseScript(std::string_view head) {
  if (head.substr(0, 2) != "#!") return std::nullopt;
  const std::string_view line = Trim(head.substr(2, head.find('\n') - 2));
  const std::string_view interpreter = line.substr(0, line.find_first_of(kBlanks));
  if (interpreter.empty()) return std::nullopt;
  ScriptLine script;
  script.interpreter = std::string(interpreter);
  if (IsEnv(interpreter)) script.env_command = EnvCommand(Trim(line.substr(interpreter.size())));
  return script;
}

}  // namespace uzswap::cli
