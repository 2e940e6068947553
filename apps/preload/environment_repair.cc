#include "environment_repair.h"

#include <cstring>
#include <optional>

#include "session/broker_variable.h"
#include "session/options.h"

namespace uzswap {
namespace {

constexpr std::string_view kPreload = "LD_PRELOAD=";
constexpr std::string_view kSeparators = ": ";

bool IsPreload(const char* entry) { return strncmp(entry, kPreload.data(), kPreload.size()) == 0; }

bool IsVariableOfRun(std::string_view entry) {
  const std::string_view name = entry.substr(0, entry.find('='));
  for (const char* known :
       {kSessionVariable, kLimitVariable, kCodecVariable, kPoolVariable, kPoolLimitVariable,
        kBackingVariable, kBackingSizeVariable, kWriteLimitVariable, kEncryptVariable,
        kEngineVariable, kBrokerVariable}) {
    if (name == known) return true;
  }
  return false;
}

// Calls visit(entry) for each entry of a list of libraries.
template <typename Visitor>
void ForEachEntry(std::string_view list, Visitor&& visit) {
  while (!list.empty()) {
    const size_t end = list.find_first_of(kSeparators);
    if (end != 0) visit(list.substr(0, end));
    if (end == std::string_view::npos) return;
    list.remove_prefix(end + 1);
  }
}

bool IsSanitizer(std::string_view entry) {
  return entry.find("libasan.so") != std::string_view::npos ||
         entry.find("libclang_rt.asan") != std::string_view::npos;
}

}  // namespace

bool EnvironmentRepair::Copy(std::string_view entry) {
  if (count_ == kVariablesMax || entry.size() + 1 > kTextBytes - used_) return false;
  char* to = text_ + used_;
  memcpy(to, entry.data(), entry.size());
  to[entry.size()] = '\0';
  variables_[count_++] = to;
  used_ += entry.size() + 1;
  return true;
}

void EnvironmentRepair::Remember(const char* const* environment, const char* library) {
  if (library == nullptr || strlen(library) >= sizeof(library_)) return;
  memcpy(library_, library, strlen(library) + 1);
  bool named = false;
  for (; *environment != nullptr; ++environment) {
    if (IsPreload(*environment)) {
      ForEachEntry(std::string_view(*environment).substr(kPreload.size()),
                   [&](std::string_view entry) { named |= IsOwn(entry); });
    } else if (IsVariableOfRun(*environment) && !Copy(*environment)) {
      return;
    }
  }
  usable_ = named;
}

EnvironmentRepair::Plan EnvironmentRepair::MakePlan(const char* const* environment,
                                                    Library library) const {
  Plan plan;
  size_t entries = 0;
  bool session = false;
  for (; *environment != nullptr; ++environment, ++entries) {
    // The dynamic linker uses the last one.
    if (IsPreload(*environment)) {
      plan.former = std::string_view(*environment).substr(kPreload.size());
    }
    const char* value = *environment;
    session |=
        strncmp(value, "UZSWAP_SESSION=", 15) == 0 || strncmp(value, "UZSWAP_LIMIT=", 13) == 0;
  }
  bool there = false;
  ForEachEntry(plan.former, [&](std::string_view entry) { there |= IsOwn(entry); });
  plan.change_preload = there != (library == Library::kWanted);
  plan.add_variables = !session && library == Library::kWanted;
  if (!plan.change_preload && !plan.add_variables) return plan;
  // The array with LD_PRELOAD, the variables and the final null; the text of LD_PRELOAD.
  plan.bytes = (entries + kVariablesMax + 2) * sizeof(char*) + kPreload.size() + strlen(library_) +
               plan.former.size() + 3;
  return plan;
}

size_t EnvironmentRepair::WriteList(std::string_view former, Library library, char* to) const {
  char* at = to;
  const auto put = [&](std::string_view entry) {
    if (at != to) *at++ = ':';
    memcpy(at, entry.data(), entry.size());
    at += entry.size();
  };
  ForEachEntry(former, [&](std::string_view entry) {
    if (IsSanitizer(entry)) put(entry);
  });
  if (library == Library::kWanted) put(library_);
  ForEachEntry(former, [&](std::string_view entry) {
    if (!IsSanitizer(entry) && !IsOwn(entry)) put(entry);
  });
  return static_cast<size_t>(at - to);
}

char** EnvironmentRepair::Build(const char* const* environment, const Plan& plan, Library library,
                                void* memory) const {
  auto** array = static_cast<char**>(memory);
  size_t count = 0;
  // execve does not write to the strings, although its parameters are not const.
  for (; *environment != nullptr; ++environment) {
    if (plan.change_preload && IsPreload(*environment)) continue;
    array[count++] = const_cast<char*>(*environment);
  }
  for (size_t i = 0; plan.add_variables && i < count_; ++i) {
    array[count++] = const_cast<char*>(variables_[i]);
  }
  if (plan.change_preload) {
    char* text = reinterpret_cast<char*>(array + count + 2);
    memcpy(text, kPreload.data(), kPreload.size());
    const size_t length = WriteList(plan.former, library, text + kPreload.size());
    text[kPreload.size() + length] = '\0';
    array[count++] = text;
  }
  array[count] = nullptr;
  return array;
}

}  // namespace uzswap
