// ForkCalls: every call by which a program makes a child with a copy of its memory.
//
//   fork, forkpty, daemon ...                   the handlers of pthread_atfork ───────┐
//   _Fork, clone without CLONE_VM,                                                    │
//   syscall(SYS_clone | SYS_clone3 | SYS_fork)  exported to the program, which runs   │
//                                               no handlers for them                  │
//                                                                                     v
//                             Engine::PrepareFork ──> the call ──> ParentAfterFork, ChildAfterFork
//
// A child that does not run ChildAfterFork has no userfaultfd. It reads zeroes for the pages that
// are swapped out. Only a program that executes the instruction `syscall` itself can still make
// such a child; libraries cannot see it.
//
// On architectures without the freestanding part (freestanding/freestanding.h), clone and syscall
// are not exported: uzswap's own calls could not be told from the program's.
//
// A child that shares the memory (CLONE_VM, vfork) needs nothing: its call is passed on. So is a
// system call that gives the child another stack: it does not return to this library.
//
// Signals are blocked from PrepareFork on until the other two have run: a signal handler in the
// child would otherwise read zeroes too. fork handlers of other libraries run in between. If one of
// them makes a child, that call is passed on.
#ifndef UZSWAP_APPS_PRELOAD_FORK_CALLS_H_
#define UZSWAP_APPS_PRELOAD_FORK_CALLS_H_

#include "engine/engine.h"

namespace uzswap {

// Both: from the constructor. Before the second call, every call is passed on.
void FindForkFunctions();
// `engine` must exist until the process ends.
void FollowForks(Engine& engine);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_FORK_CALLS_H_
