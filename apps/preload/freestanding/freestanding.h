// Freestanding: the part of the C library that uzswap's preload library brings along. x86-64 only.
//
//   uzswap's folders, lz4, zstd, libsodium, liburing
//        │ memcpy, syscall, open, clock_gettime, clone, abort, ...
//        v
//   hidden definitions in this folder ──> the system call, the vDSO
//
// Other preload libraries define functions of the C library too. libfaketime defines clock_gettime,
// others define memcpy, mmap, open or malloc. The dynamic linker would bind uzswap's calls to them,
// and they use thread-local storage and the heap, which the engine's threads do not have. So each
// function that is called is defined here, hidden, with the name and the interface that the C
// library's headers declare. The static linker binds the calls. Nothing is left for the dynamic
// linker, and the program's own functions are not affected.
//
//   memory.cc        memcpy, memset, memcmp, strlen, ...
//   system_calls.cc  syscall, open, mmap, ... ; errno is a thread-local of uzswap (initial-exec)
//   clock.cc         clock_gettime through the vDSO
//   clone.cc         clone
//   runtime.cc       abort, and what the compiler and the archives refer to but must not use:
//                    malloc, operator new, locks. Those abort with a message.
//
// clone, syscall and getrlimit are exported to the program too (fork_calls.h, limit_calls.h). The
// linker's --wrap gives uzswap's own calls the names __wrap_clone and so on, which are defined
// here.
//
// A call that is not defined here is bound to the C library without an error. The test
// preload_symbols reads the dynamic symbols of the library and fails if there is one. Add the
// function here then.
//
// Tests and other programs link the same sources with the C library. So does the preload library on
// other architectures.
//
// Any thread may call these functions, if its thread pointer is valid (os/thread.h).
#ifndef UZSWAP_APPS_PRELOAD_FREESTANDING_FREESTANDING_H_
#define UZSWAP_APPS_PRELOAD_FREESTANDING_FREESTANDING_H_

namespace uzswap::freestanding {

// Finds the vDSO through the auxiliary vector, which follows the environment that the kernel made.
// Before this call, and where there is no vDSO, clock_gettime is a system call. Call once, from the
// library's constructor. `environment` is the constructor's third argument.
void UseVdso(const char* const* environment);

}  // namespace uzswap::freestanding

#endif  // UZSWAP_APPS_PRELOAD_FREESTANDING_FREESTANDING_H_
