#include "environment_repair.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>

#include "os/preload_rules.h"
#include "session/options.h"

namespace uzswap {
namespace {

constexpr std::string_view kPreload = "LD_PRELOAD=";

bool IsPreload(const char* entry) { return strncmp(entry, kPreload.data(), kPreload.size()) == 0; }

bool IsVariableOfRun(std::string_view entry) {
  const std::string_view name = entry.substr(0, entry.find('='));
  return std::find(std::begin(kRunVariables), std::end(kRunVariables), name) !=
         std::end(kRunVariables);
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
      os::ForEachPreload(std::string_view(*environment).substr(kPreload.size()),
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
  const bool session =
      FindVariable(environment, kSessionVariable) || FindVariable(environment, kLimitVariable);
  size_t entries = 0;
  for (; *environment != nullptr; ++environment, ++entries) {
    // The dynamic linker uses the last one.
    if (IsPreload(*environment)) {
      plan.former = std::string_view(*environment).substr(kPreload.size());
    }
  }
  bool there = false;
  os::ForEachPreload(plan.former, [&](std::string_view entry) { there |= IsOwn(entry); });
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
  os::ForEachPreload(former, [&](std::string_view entry) {
    if (os::IsAsanRuntime(entry)) put(entry);
  });
  if (library == Library::kWanted) put(library_);
  os::ForEachPreload(former, [&](std::string_view entry) {
    if (!os::IsAsanRuntime(entry) && !IsOwn(entry)) put(entry);
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
