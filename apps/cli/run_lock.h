// RunLock: one command at a time changes a run.
//
//   uzswap set 4711 ──lock──> memory of the session <──lock── uzswap shrink 4711: refused
//
// A write lock of an open file description (F_OFD_SETLK) on the file of the session. The kernel
// releases it when the command ends, also when it is killed. Processes of the run do not look at
// it. One thread.
#ifndef UZSWAP_APPS_CLI_RUN_LOCK_H_
#define UZSWAP_APPS_CLI_RUN_LOCK_H_

#include <utility>

namespace uzswap::cli {

// A file descriptor that is closed with its object. -1: none.
class OwnDescriptor {
 public:
  OwnDescriptor() = default;
  explicit OwnDescriptor(int descriptor) : descriptor_(descriptor) {}
  OwnDescriptor(OwnDescriptor&& other) noexcept { *this = std::move(other); }
  OwnDescriptor& operator=(OwnDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~OwnDescriptor();

  [[nodiscard]] int number() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

class RunLock {
 public:
  // `memory` can be a descriptor that can only be looked at (O_PATH).
  explicit RunLock(const OwnDescriptor& memory);

  // False: another command has it, or the file cannot be locked.
  [[nodiscard]] bool held() const { return held_; }

 private:
  OwnDescriptor file_;
  bool held_ = false;
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_RUN_LOCK_H_
