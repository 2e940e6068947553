// ExecCalls: what the preload library does when the program starts another program.
//
//   execve, execv, execvp, execvpe, execl, execlp, execle, fexecve, execveat,
//   posix_spawn, posix_spawnp                                (exported to the program)
//       │ look at the file ──> cannot be followed? ──> reported and counted
//       │ repair the environment, on the stack
//       v
//   the function that the program would have called without uzswap, with the new environment
//
// That function keeps the semantics: the search in PATH, /bin/sh for scripts without "#!", errno.
// All of this may run in a signal handler and in the child of vfork. Nothing is allocated, no lock
// is taken, and no static variable is written. The new array is on the stack, or in a mapping of
// its own if it is large. The mapping is removed when the call fails. A child of vfork that
// succeeds leaves it in its parent.
//
// Raw system calls, system() and popen() of the C library are not seen. The latter two pass on the
// program's environment.
#ifndef UZSWAP_APPS_PRELOAD_EXEC_CALLS_H_
#define UZSWAP_APPS_PRELOAD_EXEC_CALLS_H_

#include "session/session.h"

namespace uzswap {

// Both: from the constructor. Without the second call the environment is passed on as it is.
void FindExecFunctions();
// `session` must stay mapped. `environment` is what the library was loaded with.
void FollowExec(Session& session, const char* const* environment);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_EXEC_CALLS_H_
