// Result<T>: a value, or an operating error.
//
// Operating errors come from outside uzswap (a system call failed, a file is short). An Error has
// the errno and the name of the operation, so that the user knows what to fix. Normal outcomes (not
// found, no space, a lost race) are enums. Result never allocates. `what` must be a literal or
// outlive the Result. Taking the value of an error ends the process.
#ifndef UZSWAP_RESULT_H_
#define UZSWAP_RESULT_H_

#include <optional>
#include <utility>

#include "uzswap/export.h"

namespace uzswap {

struct Error {
  int errno_value = 0;    // 0 if no system call failed
  const char* what = "";  // "userfaultfd", "mmap of the arena", ...
};

namespace internal {

// Writes the line to standard error and ends the process.
[[noreturn]] UZSWAP_API void RequirementFailed(const char* what);

inline void Require(bool condition, const char* what) {
  if (!condition) RequirementFailed(what);
}

}  // namespace internal

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : error_(error) {}         // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  // Requires: ok().
  [[nodiscard]] T& value() & {
    internal::Require(ok(), "check failed: the value of an error was used");
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    internal::Require(ok(), "check failed: the value of an error was used");
    return *value_;
  }
  [[nodiscard]] T&& value() && {
    internal::Require(ok(), "check failed: the value of an error was used");
    return std::move(*value_);
  }
  // Requires: !ok().
  [[nodiscard]] Error error() const {
    internal::Require(!ok(), "check failed: the error of a value was used");
    return error_;
  }

 private:
  std::optional<T> value_;
  Error error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  // Requires: !ok().
  [[nodiscard]] Error error() const {
    internal::Require(!ok(), "check failed: the error of a value was used");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace uzswap

#endif  // UZSWAP_RESULT_H_
