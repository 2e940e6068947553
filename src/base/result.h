// Result<T>: a value, or the operating error that took its place.
//
// Operating errors come from outside (a system call refused, a file is short). They keep the
// errno and the name of what was tried, so that the person who reads the message knows what
// to mend. Normal outcomes (not found, no space, lost a race) are enums of their own; bugs
// are checks. Result never allocates; `what` must be a literal or outlive the Result.
#ifndef UZSWAP_BASE_RESULT_H_
#define UZSWAP_BASE_RESULT_H_

#include <optional>
#include <utility>

#include "base/check.h"

namespace uzswap {

struct Error {
  int errno_value = 0;    // 0 when the cause is not a system call
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
