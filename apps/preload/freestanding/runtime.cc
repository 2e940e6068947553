// What the compiler and the static archives refer to, apart from memory and system calls.
//
// Most of it must not be used in a program that is not ours: the heap, exceptions, locks that
// record their owner in a thread's descriptor. The archives contain such calls in functions that
// uzswap does not call. If one is called anyway, it ends the process with a message.
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <new>

#include "raw_syscall.h"

extern "C" {
size_t strlen(const char* text);
[[noreturn]] void abort() noexcept;
// The address of this variable names the library in __cxa_atexit and __register_atfork.
void* __dso_handle = &__dso_handle;
}

namespace {

using uzswap::freestanding::RawSyscall;

// Not from <csignal>: it declares raise with attributes.
constexpr int kAbortSignal = 6;
constexpr int kUnblock = 1;  // SIG_UNBLOCK

long Long(const void* pointer) { return reinterpret_cast<long>(pointer); }

void Write(const char* text) {
  RawSyscall(SYS_write, 2, Long(text), static_cast<long>(strlen(text)));
}

[[noreturn]] void Forbidden(const char* function) {
  Write("uzswap: the preload library called ");
  Write(function);
  Write(", which it must not use inside a program\n");
  abort();
}

struct KernelSigaction {
  uintptr_t handler;
  unsigned long flags;
  uintptr_t restorer;
  uint64_t mask;
};

void SendAbort() {
  const long process = RawSyscall(SYS_getpid);
  RawSyscall(SYS_tgkill, process, RawSyscall(SYS_gettid), kAbortSignal);
}

}  // namespace

extern "C" {

// SIGABRT as abort(3): the program's handler runs first. If it returns, the default action is
// restored and ends the process.
void abort() noexcept {
  constexpr uint64_t kAbortBit = uint64_t{1} << (kAbortSignal - 1);
  RawSyscall(SYS_rt_sigprocmask, kUnblock, Long(&kAbortBit), 0, sizeof(kAbortBit));
  SendAbort();
  const KernelSigaction standard{};
  RawSyscall(SYS_rt_sigaction, kAbortSignal, Long(&standard), 0, sizeof(uint64_t));
  SendAbort();
  constexpr long kStatus = 127;
  while (true) RawSyscall(SYS_exit_group, kStatus);
}

int raise(int) { Forbidden("raise"); }

[[noreturn]] void __stack_chk_fail() {
  Write("uzswap: a buffer on the stack was overrun\n");
  abort();
}
[[noreturn]] void __assert_fail(const char* condition, const char*, unsigned, const char*) {
  Write("uzswap: check failed in an archive: ");
  Write(condition);
  Write("\n");
  abort();
}

// --- The heap. zstd, lz4 and liburing work in memory that the caller provides. ---

void* malloc(size_t) { Forbidden("malloc"); }
void* calloc(size_t, size_t) { Forbidden("calloc"); }
void* realloc(void*, size_t) { Forbidden("realloc"); }
void free(void* pointer) {
  if (pointer != nullptr) Forbidden("free");
}

// --- libsodium ---

// They guard the initialisation only, which one thread calls.
int pthread_mutex_lock(void*) { return 0; }
int pthread_mutex_unlock(void*) { return 0; }
// Its generator with thread-local state is not used: randombytes calls getrandom.
void* __tls_get_addr(void*) { Forbidden("__tls_get_addr"); }
int gettimeofday(void*, void*) { Forbidden("gettimeofday"); }

// --- zstd: hooks for a tracing program. 0: do not trace. ---

unsigned long long ZSTD_trace_compress_begin(const void*) { return 0; }
void ZSTD_trace_compress_end(unsigned long long, const void*) {}
unsigned long long ZSTD_trace_decompress_begin(const void*) { return 0; }
void ZSTD_trace_decompress_end(unsigned long long, const void*) {}

// --- C++ ---

int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }  // nothing here is destroyed
[[noreturn]] void __cxa_pure_virtual() { Forbidden("a pure virtual function"); }

// Handlers for fork, which the C library runs. Its own entry point is imported: only the C library
// itself defines it.
int __register_atfork(void (*)(), void (*)(), void (*)(), void*);
int pthread_atfork(void (*prepare)(), void (*parent)(), void (*child)()) {
  return __register_atfork(prepare, parent, child, __dso_handle);
}

}  // extern "C"

// Deleting destructors of classes with a virtual destructor refer to these.
void* operator new(size_t) { Forbidden("operator new"); }
void operator delete(void*) noexcept { Forbidden("operator delete"); }
void operator delete(void*, size_t) noexcept { Forbidden("operator delete"); }
void operator delete(void*, std::align_val_t) noexcept { Forbidden("operator delete"); }
void operator delete(void*, size_t, std::align_val_t) noexcept { Forbidden("operator delete"); }

namespace std {

[[noreturn]] void __throw_bad_alloc() { Forbidden("std::bad_alloc"); }
[[noreturn]] void __throw_length_error(const char*) { Forbidden("std::length_error"); }
[[noreturn]] void __throw_out_of_range_fmt(const char*, ...) { Forbidden("std::out_of_range"); }
[[noreturn]] void __throw_system_error(int) { Forbidden("std::system_error"); }

}  // namespace std
