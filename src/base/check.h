// Checks: how uzswap stops when one of its own rules is broken.
//
//   UZ_CHECK(cond)          always compiled in: memory safety and anything cheap
//   UZ_CHECK_EQ(a, b) ...   the same, printing both operands
//   UZ_DCHECK...            debug builds only: costly or redundant facts
//   Panic(...)              the end: one line on standard error, then abort()
//
// A check is for bugs. What can happen in a healthy program (no memory, no space, a lost
// race) is an outcome or a Result, never a check.
//
// Any thread may call these, inside a foreign process too: nothing here allocates, locks,
// or reads state of the C library. The line is written with a single write.
#ifndef UZSWAP_BASE_CHECK_H_
#define UZSWAP_BASE_CHECK_H_

#include <cstdint>
#include <type_traits>

namespace uzswap {

// Writes "uzswap: FILE:LINE: what" and aborts. The rich forms add operand values.
[[noreturn]] void Panic(const char* file, int line, const char* what);
[[noreturn]] void PanicOperands(const char* file, int line, const char* what, uint64_t left,
                                uint64_t right);

// Lets the program that hosts us put its own last words in front (the engine uses it to say
// that continuing would hand out wrong bytes). The hook must not return control to the caller
// of Panic by any other way than returning, and must not allocate.
using PanicHook = void (*)(const char* line, uint64_t length);
void SetPanicHook(PanicHook hook);

namespace internal {

template <typename T>
constexpr uint64_t ToPrintable(const T& value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<uint64_t>(value);
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<uint64_t>(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<uint64_t>(value);
  } else {
    return static_cast<uint64_t>(value.raw());  // the strong units of base/units.h
  }
}

}  // namespace internal
}  // namespace uzswap

#define UZ_CHECK(cond)                                             \
  do {                                                             \
    if (__builtin_expect(!(cond), 0)) {                            \
      ::uzswap::Panic(__FILE__, __LINE__, "check failed: " #cond); \
    }                                                              \
  } while (false)

#define UZ_CHECK_OP_(op, a, b)                                                        \
  do {                                                                                \
    const auto& uz_left = (a);                                                        \
    const auto& uz_right = (b);                                                       \
    if (__builtin_expect(!(uz_left op uz_right), 0)) {                                \
      ::uzswap::PanicOperands(__FILE__, __LINE__, "check failed: " #a " " #op " " #b, \
                              ::uzswap::internal::ToPrintable(uz_left),               \
                              ::uzswap::internal::ToPrintable(uz_right));             \
    }                                                                                 \
  } while (false)

#define UZ_CHECK_EQ(a, b) UZ_CHECK_OP_(==, a, b)
#define UZ_CHECK_NE(a, b) UZ_CHECK_OP_(!=, a, b)
#define UZ_CHECK_LT(a, b) UZ_CHECK_OP_(<, a, b)
#define UZ_CHECK_LE(a, b) UZ_CHECK_OP_(<=, a, b)
#define UZ_CHECK_GT(a, b) UZ_CHECK_OP_(>, a, b)
#define UZ_CHECK_GE(a, b) UZ_CHECK_OP_(>=, a, b)

#ifdef NDEBUG
#define UZ_DCHECK(cond) \
  do {                  \
    if (false) {        \
      UZ_CHECK(cond);   \
    }                   \
  } while (false)
#define UZ_DCHECK_OP_(op, a, b) \
  do {                          \
    if (false) {                \
      UZ_CHECK_OP_(op, a, b);   \
    }                           \
  } while (false)
#else
#define UZ_DCHECK(cond) UZ_CHECK(cond)
#define UZ_DCHECK_OP_(op, a, b) UZ_CHECK_OP_(op, a, b)
#endif

#define UZ_DCHECK_EQ(a, b) UZ_DCHECK_OP_(==, a, b)
#define UZ_DCHECK_LT(a, b) UZ_DCHECK_OP_(<, a, b)
#define UZ_DCHECK_LE(a, b) UZ_DCHECK_OP_(<=, a, b)

#endif  // UZSWAP_BASE_CHECK_H_
