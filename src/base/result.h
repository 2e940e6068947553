// Result<T>: a value, or an operating error.
//
// Operating errors come from outside uzswap (a system call failed, a file is short). An Error has
// the errno and the name of the operation, so that the user knows what to fix. Normal outcomes (not
// found, no space, a lost race) are enums. Bugs are checks. Result never allocates. `what` must be
// a literal or outlive the Result.
#ifndef UZSWAP_BASE_RESULT_H_
#define UZSWAP_BASE_RESULT_H_

#include <optional>
#include <utility>

#include "base/check.h"

namespace uzswap {

struct Error {
  int errno_value = 0;    // 0 if no system call failed
  const char* what = "";  // "userfaultfd", "mmap of the arena", ...
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : error_(error) {}         // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  // Requires: ok().
  [[nodiscard]] T& value() & {
    UZ_CHECK(ok());
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    UZ_CHECK(ok());
    return *value_;
  }
  [[nodiscard]] T&& value() && {
    UZ_CHECK(ok());
    return std::move(*value_);
  }
  // Requires: !ok().
  [[nodiscard]] Error error() const {
    UZ_CHECK(!ok());
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
    UZ_CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_RESULT_H_
