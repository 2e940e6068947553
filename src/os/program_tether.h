// ProgramTether: the kernel kills the program when its process of service threads ends without
// having said so.
//
// If the last descriptor of a userfaultfd is closed, pages that are swapped out read as zeroes. So
// when the process of service threads is killed, its program must end first, and at once. The
// broker does that too (broker/guard.h), but both can be killed together (killall).
//
//   descriptors   B ── A      userfaultfds      A ── B       A: O_ASYNC, F_SETSIG SIGKILL,
//                 socket pair                   socket pair     F_SETOWN the program
//
//   the kernel closes B ──> A sees the end of the connection ──> SIGKILL for the program
//
// The kernel closes the descriptors of a process that ends in the order of their numbers, or in
// the reverse order (task_work_run has changed). With a pair on both sides of the userfaultfds the
// signal is sent before they are released, in either order.
//
// Untie before the process ends because its program is gone: after exec the program's id is that of
// another one. One object in a process of service threads, one thread. Nothing allocates.
#ifndef UZSWAP_OS_PROGRAM_TETHER_H_
#define UZSWAP_OS_PROGRAM_TETHER_H_

#include "base/result.h"

namespace uzswap::os {

// Userfaultfds are at this number or above it, up to the pair that follows.
inline constexpr int kUserfaultfdMin = 24;

class ProgramTether {
 public:
  // With the userfaultfds open. Fails with EINVAL if RLIMIT_NOFILE has no room for it.
  Result<void> Tie();
  void Untie();
  // For a forked child: the descriptors are in the parent's descriptor table.
  void Forget() { below_[0] = below_[1] = above_[0] = above_[1] = -1; }

 private:
  static constexpr int kBelow = 16;
  static constexpr int kAbove = 28;

  // ends[0] is the lower number. `armed` is the position of A.
  static Result<void> MakePair(int min, int armed, int* ends);

  int below_[2] = {-1, -1};
  int above_[2] = {-1, -1};
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_TETHER_H_
