#include "run_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

namespace uzswap::cli {

OwnDescriptor::~OwnDescriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

// Opened again: locks belong to the open file, and a descriptor that was passed on shares it.
RunLock::RunLock(const OwnDescriptor& memory)
    : file_(
          open(("/proc/self/fd/" + std::to_string(memory.number())).c_str(), O_RDWR | O_CLOEXEC)) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  held_ = file_.number() >= 0 && fcntl(file_.number(), F_OFD_SETLK, &whole) == 0;
}

}  // namespace uzswap::cli
