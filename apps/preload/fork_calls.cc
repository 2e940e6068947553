#include "fork_calls.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>

#include "exported.h"
#ifdef UZSWAP_FREESTANDING
#include "freestanding/raw_syscall.h"
#endif
#include "loaded_libraries.h"
#include "os/thread.h"
#include "remap_calls.h"

namespace uzswap {
namespace {

// The next definitions after this library. Written by the constructor.
struct NextFunctions {
  int (*clone)(int (*)(void*), void*, int, void*, int*, void*, int*);
  int (*fork)();
  long (*syscall)(long, long, long, long, long, long, long);
};
NextFunctions g_next{};

Engine* g_engine = nullptr;

// Of the thread between Prepare and what follows the call. The engine lets one thread in at a time.
uint64_t g_signals_before = 0;
// That thread; 0: none. Relaxed: a thread only looks for its own id.
std::atomic<uint32_t> g_forking_thread{0};

// No signal arrives from here on: a handler must not run in the child before Child(), where it
// would read zeroes for what is swapped out, and must not come here while the engine's lock is
// held.
void Prepare() {
  if (!g_engine->holds_forks()) return;
  const uint64_t before = os::BlockSignals();
  g_engine->PrepareFork();
  g_signals_before = before;
  g_forking_thread.store(os::ThreadNumber(), std::memory_order_relaxed);
}

void Finish(void (Engine::*after)()) {
  if (!g_engine->holds_forks()) return;
  const uint64_t before = g_signals_before;
  g_forking_thread.store(0, std::memory_order_relaxed);
  (g_engine->*after)();
  os::RestoreSignals(before);
}
void Parent() { Finish(&Engine::ParentAfterFork); }
void Child() { Finish(&Engine::ChildAfterFork); }

// False in a handler of another library, which runs between the handlers here.
bool MayPrepare() {
  return g_engine != nullptr &&
         g_forking_thread.load(std::memory_order_relaxed) != os::ThreadNumber();
}

// `fork` returns twice, with 0 in the child, or once with -1.
template <typename Fork>
auto WithHandlers(Fork&& fork) {
  Prepare();
  const auto result = fork();
  if (result == 0) {
    Child();
  } else {
    Parent();
  }
  return result;
}

#ifdef UZSWAP_FREESTANDING
// True if the system call makes a child with a copy of the memory, which returns on the same stack.
bool CopiesMemory(long number, long first, long second) {
  if (number == SYS_fork) return true;
  if (number == SYS_clone) return (first & CLONE_VM) == 0 && second == 0;
  if (number != SYS_clone3 || first == 0 || second < CLONE_ARGS_SIZE_VER0) return false;
  const auto* arguments = reinterpret_cast<const clone_args*>(first);
  return (arguments->flags & CLONE_VM) == 0 && arguments->stack == 0;
}

// An allocator in LD_PRELOAD may be used before this library's constructor, and jemalloc makes
// system calls in this way. The program's errno is not set then.
long EarlySyscall(long number, long a, long b, long c, long d, long e, long f) {
  const long result = freestanding::RawSyscall(number, a, b, c, d, e, f);
  constexpr long kErrnoMax = 4095;
  return result < 0 && result >= -kErrnoMax ? -1 : result;
}

template <typename Call>
long RemapByCall(Call&& call, long start, long bytes, long new_bytes, long flags, long target) {
  const auto raw = [](long value) { return static_cast<uint64_t>(value); };
  int64_t split = 0;
  if (RemapSplit(raw(start), raw(bytes), raw(new_bytes), static_cast<int>(flags), raw(target),
                 &split)) {
    return split;
  }
  const long result = call();
  if (result != -1) return result;
  return RemapAgain(raw(start), raw(bytes), raw(new_bytes), static_cast<int>(flags), raw(target));
}

struct ChildBody {
  int (*body)(void*);
  void* argument;
};

// The first function of a child of clone(). `raw` is on the stack of the thread that called it, of
// which the child has a copy.
int RunChild(void* raw) {
  const ChildBody child = *static_cast<const ChildBody*>(raw);
  Child();
  return child.body(child.argument);
}

#endif

}  // namespace

void FindForkFunctions() {
  FindNext("clone", &g_next.clone);
  FindNext("_Fork", &g_next.fork);
  FindNext("syscall", &g_next.syscall);
}

void FollowForks(Engine& engine) {
  g_engine = &engine;
  pthread_atfork(Prepare, Parent, Child);
}

}  // namespace uzswap

extern "C" {

UZ_EXPORTED int _Fork() {
  if (!uzswap::MayPrepare()) return uzswap::g_next.fork();
  return uzswap::WithHandlers([] { return uzswap::g_next.fork(); });
}

#ifdef UZSWAP_FREESTANDING
// Headers declare these two as variadic, so they have other names here. Integers and pointers are
// passed in the same places either way. What the caller has left out is read, and ignored by the
// kernel.
UZ_EXPORTED int UzswapClone(int (*body)(void*), void* stack, int flags, void* argument,
                            int* parent_tid, void* tls, int* child_tid) __asm__("clone");
UZ_EXPORTED long UzswapSyscall(long number, long a, long b, long c, long d, long e,
                               long f) __asm__("syscall");

int UzswapClone(int (*body)(void*), void* stack, int flags, void* argument, int* parent_tid,
                void* tls, int* child_tid) {
  const auto call = [&](int (*first)(void*), void* given) {
    return uzswap::g_next.clone(first, stack, flags, given, parent_tid, tls, child_tid);
  };
  // The C library refuses a call without a body or a stack.
  if ((flags & CLONE_VM) != 0 || body == nullptr || stack == nullptr || !uzswap::MayPrepare()) {
    return call(body, argument);
  }
  uzswap::ChildBody child{body, argument};
  return uzswap::WithHandlers([&] { return call(uzswap::RunChild, &child); });
}

long UzswapSyscall(long number, long a, long b, long c, long d, long e, long f) {
  const auto next = uzswap::g_next.syscall;
  if (next == nullptr) return uzswap::EarlySyscall(number, a, b, c, d, e, f);
  const auto call = [&] { return next(number, a, b, c, d, e, f); };
  if (number == SYS_mremap) return uzswap::RemapByCall(call, a, b, c, d, e);
  if (!uzswap::CopiesMemory(number, a, b) || !uzswap::MayPrepare()) return call();
  return uzswap::WithHandlers(call);
}
#endif

}  // extern "C"
