// EnvironmentRepair: puts uzswap back into the environment of a program that is about to start.
//
//   at the start       LD_PRELOAD=/lib/uzswap.so  UZSWAP_SESSION=...  UZSWAP_LIMIT=...
//                          │ Remember: copied, because the program may change its environment
//                          v
//   env -i cmd         (empty)            ──Plan──> both are missing ──Build──> all of the above
//   env LD_PRELOAD=x   LD_PRELOAD=x       ──Plan──> /lib/uzswap.so:x
//   unchanged                             ──Plan──> nothing to do: the caller's array is used
//
// The variables of uzswap are added only if neither a session nor a limit is set: an inner
// `uzswap run` sets its own. A sanitizer's runtime stays in front of the library. For a program
// that the library must not be in, its entry is removed from LD_PRELOAD.
//
// Remember: once, before there is another thread. The rest: any thread, also the child of vfork. It
// writes only to the memory that the caller gives.
#ifndef UZSWAP_APPS_PRELOAD_ENVIRONMENT_REPAIR_H_
#define UZSWAP_APPS_PRELOAD_ENVIRONMENT_REPAIR_H_

#include <cstddef>
#include <string_view>

namespace uzswap {

class EnvironmentRepair {
 public:
  enum class Library : bool { kWanted, kLeftOut };

  struct Plan {
    size_t bytes = 0;  // memory that Build needs, aligned as a pointer; 0: nothing to change
    bool change_preload = false;
    bool add_variables = false;
    std::string_view former;  // the value of LD_PRELOAD
  };

  // `library` is the path of the preload library.
  void Remember(const char* const* environment, const char* library);
  // False: LD_PRELOAD did not name the library, or there were more variables than fit.
  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] const char* library() const { return library_; }

  [[nodiscard]] Plan MakePlan(const char* const* environment, Library library) const;
  // The new array, in `memory` of plan.bytes. It refers to the old strings.
  char** Build(const char* const* environment, const Plan& plan, Library library,
               void* memory) const;

 private:
  static constexpr size_t kTextBytes = 16 << 10;
  static constexpr size_t kVariablesMax = 16;

  bool Copy(std::string_view entry);
  size_t WriteList(std::string_view former, Library library, char* to) const;
  [[nodiscard]] bool IsOwn(std::string_view entry) const { return entry == library_; }

  bool usable_ = false;
  char library_[4096] = {};
  const char* variables_[kVariablesMax] = {};
  size_t count_ = 0;
  char text_[kTextBytes] = {};
  size_t used_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_ENVIRONMENT_REPAIR_H_
