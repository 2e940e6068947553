#include "os/huge_pages.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace uzswap::os {

void HugePages::Permit(bool permitted) {
  if (permitted != forbidden_) return;
  if (permitted) {
    syscall(SYS_prctl, PR_SET_THP_DISABLE, 0, 0, 0, 0);
    forbidden_ = false;
    return;
  }
  if (syscall(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0) != 0) return;
  forbidden_ = syscall(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0;
}

}  // namespace uzswap::os
