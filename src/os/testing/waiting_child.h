// WaitingChild: a forked child that does nothing, so that it shares the memory of the test until
// End.
#ifndef UZSWAP_OS_TESTING_WAITING_CHILD_H_
#define UZSWAP_OS_TESTING_WAITING_CHILD_H_

#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

namespace uzswap::os {

class WaitingChild {
 public:
  WaitingChild() {
    UZ_CHECK_EQ(pipe(end_), 0);
    pid_ = fork();
    UZ_CHECK(pid_ >= 0);
    if (pid_ != 0) return;
    char byte = 0;
    close(end_[1]);
    _exit(read(end_[0], &byte, 1) == 0 ? 0 : 1);
  }
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  ~WaitingChild() {
    if (pid_ > 0) End();
  }

  // Its wait status.
  int End() {
    close(end_[1]);
    int status = -1;
    UZ_CHECK_EQ(waitpid(pid_, &status, 0), pid_);
    close(end_[0]);
    pid_ = -1;
    return status;
  }

 private:
  int end_[2];
  pid_t pid_ = -1;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_WAITING_CHILD_H_
