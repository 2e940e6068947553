// RawSyscall: the system call instruction of x86-64. Returns a negative errno on failure.
#ifndef UZSWAP_APPS_PRELOAD_FREESTANDING_RAW_SYSCALL_H_
#define UZSWAP_APPS_PRELOAD_FREESTANDING_RAW_SYSCALL_H_

namespace uzswap::freestanding {

inline long RawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                       long f = 0) {
  long result = number;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

// Sets errno if `result` is a negative errno: the convention of the C library.
long Checked(long result);

}  // namespace uzswap::freestanding

#endif  // UZSWAP_APPS_PRELOAD_FREESTANDING_RAW_SYSCALL_H_
