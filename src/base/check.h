// Checks: they stop the process when an invariant of uzswap is broken.
//
//   UZ_CHECK(cond)          in all builds: memory safety and every cheap condition
//   UZ_CHECK_EQ(a, b) ...   the same; prints both operands
//   UZ_DCHECK...            in debug builds only: expensive or redundant conditions
//   Panic(...)              writes one line to standard error and calls abort()
//
// Checks are for bugs only. What can happen in a correct program (no memory, no space, a lost
// race) is an enum or a Result.
//
// Any thread may use checks, also inside a program that uzswap was preloaded into. They do not
// allocate, take no lock and read no state of the C library. The line is written with one write(2).
#ifndef UZSWAP_BASE_CHECK_H_
#define UZSWAP_BASE_CHECK_H_

#include <cstdint>
#include <type_traits>

namespace uzswap {

// Writes "uzswap: FILE:LINE: what" and aborts. PanicOperands adds the values of the operands.
[[noreturn]] void Panic(const char* file, int line, const char* what);
[[noreturn]] void PanicOperands(const char* file, int line, const char* what, uint64_t left,
                                uint64_t right);

// Installs a hook that runs before the line is written. The engine uses it to print that
// continuing would return wrong data to the program. The hook must return normally (no longjmp)
// and must not allocate.
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
    return static_cast<uint64_t>(value.raw());  // the types of base/units.h
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
