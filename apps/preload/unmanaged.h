// Unmanaged: reports a program of the tree that uzswap is not in.
//
//   program ──> counted (processes_unmanaged) ──> its name reported already? ──> one message
//
// The message goes to the runner through the session, or to standard error if there is no runner. A
// run reports at most Session::kUnmanagedNames programs; others are counted only.
//
// Any thread, also the child of vfork: the session is shared memory, and the line is on the stack.
#ifndef UZSWAP_APPS_PRELOAD_UNMANAGED_H_
#define UZSWAP_APPS_PRELOAD_UNMANAGED_H_

#include "session/session.h"

namespace uzswap {

struct UnmanagedReason {
  const char* cause = "";  // follows "'name' "
  const char* fix = "";
};

// `path` names the program; its last part is its name in the message.
void ReportUnmanaged(Session& session, const char* path, const UnmanagedReason& reason);

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_UNMANAGED_H_
