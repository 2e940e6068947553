// A preload library that defines functions of the C library, as time shifters, profilers and
// memory checkers do. They behave for the program. For callers inside uzswap's own library they do
// nothing useful: memory is not copied, clocks stand still, mappings fail. Each such call is
// counted in thread-local storage of this library, which uzswap's tasks do not have.
//
// At exit, the library prints how many calls came from uzswap: there may be none.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define CALLER ((uintptr_t)__builtin_return_address(0))

enum { kRangesMost = 16 };
static struct { uintptr_t begin, end; } g_foreign[kRangesMost];
static int g_ranges = -1;
static unsigned g_calls;
static __thread unsigned t_calls;

static uintptr_t Hexadecimal(const char** text) {
  uintptr_t value = 0;
  for (;; ++*text) {
    const char c = **text;
    if (c >= '0' && c <= '9') {
      value = value * 16 + (uintptr_t)(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + (uintptr_t)(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

static int Names(const char* line, const char* end, const char* word) {
  for (; line < end; ++line) {
    const char* a = line;
    const char* b = word;
    while (a < end && *b != '\0' && *a == *b) ++a, ++b;
    if (*b == '\0') return 1;
  }
  return 0;
}

// Finds where uzswap's library lies, with system calls only: this runs inside of memcpy.
static void FindForeign(void) {
  static char text[1 << 18];
  g_ranges = 0;
  const int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
  if (file < 0) return;
  size_t size = 0;
  for (;;) {
    const long got = syscall(SYS_read, file, text + size, sizeof text - 1 - size);
    if (got <= 0) break;
    size += (size_t)got;
  }
  syscall(SYS_close, file);
  text[size] = '\0';
  for (const char* line = text; *line != '\0' && g_ranges < kRangesMost;) {
    const char* end = line;
    while (*end != '\n' && *end != '\0') ++end;
    const char* at = line;
    const uintptr_t begin = Hexadecimal(&at);
    ++at;
    const uintptr_t limit = Hexadecimal(&at);
    if (Names(line, end, "libuzswap")) {
      g_foreign[g_ranges].begin = begin;
      g_foreign[g_ranges++].end = limit;
    }
    line = *end == '\n' ? end + 1 : end;
  }
}

static int IsForeign(uintptr_t caller) {
  if (g_ranges < 0) FindForeign();
  for (int i = 0; i < g_ranges; ++i) {
    if (caller >= g_foreign[i].begin && caller < g_foreign[i].end) {
      ++t_calls;
      __atomic_fetch_add(&g_calls, 1, __ATOMIC_RELAXED);
      return 1;
    }
  }
  return 0;
}

EXPORTED void* memcpy(void* restrict to, const void* restrict from, size_t bytes) {
  if (IsForeign(CALLER)) return to;
  for (size_t i = 0; i < bytes; ++i) ((char*)to)[i] = ((const char*)from)[i];
  return to;
}

EXPORTED void* memmove(void* to, const void* from, size_t bytes) {
  if (IsForeign(CALLER)) return to;
  const int up = (uintptr_t)to < (uintptr_t)from;
  for (size_t i = 0; i < bytes; ++i) {
    const size_t at = up ? i : bytes - 1 - i;
    ((char*)to)[at] = ((const char*)from)[at];
  }
  return to;
}

EXPORTED void* memset(void* at, int byte, size_t bytes) {
  if (IsForeign(CALLER)) return at;
  for (size_t i = 0; i < bytes; ++i) ((char*)at)[i] = (char)byte;
  return at;
}

EXPORTED int clock_gettime(clockid_t clock, struct timespec* now) {
  if (IsForeign(CALLER)) {
    now->tv_sec = now->tv_nsec = 0;
    return 0;
  }
  return (int)syscall(SYS_clock_gettime, clock, now);
}

EXPORTED int nanosleep(const struct timespec* time, struct timespec* left) {
  if (IsForeign(CALLER)) return -1;
  return (int)syscall(SYS_nanosleep, time, left);
}

EXPORTED void* mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) {
  if (IsForeign(CALLER)) return MAP_FAILED;
  return (void*)syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
}

EXPORTED int munmap(void* at, size_t bytes) {
  if (IsForeign(CALLER)) return -1;
  return (int)syscall(SYS_munmap, at, bytes);
}

EXPORTED int madvise(void* at, size_t bytes, int advice) {
  if (IsForeign(CALLER)) return -1;
  return (int)syscall(SYS_madvise, at, bytes, advice);
}

EXPORTED ssize_t read(int file, void* to, size_t bytes) {
  if (IsForeign(CALLER)) return -1;
  return syscall(SYS_read, file, to, bytes);
}

EXPORTED ssize_t write(int file, const void* from, size_t bytes) {
  if (IsForeign(CALLER)) return -1;
  return syscall(SYS_write, file, from, bytes);
}

EXPORTED int close(int file) {
  if (IsForeign(CALLER)) return -1;
  return (int)syscall(SYS_close, file);
}

EXPORTED int ioctl(int file, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (IsForeign(CALLER)) return -1;
  return (int)syscall(SYS_ioctl, file, request, argument);
}

__attribute__((destructor)) static void Report(void) {
  printf("calls from uzswap: %u\n", __atomic_load_n(&g_calls, __ATOMIC_RELAXED));
  fflush(stdout);
}
