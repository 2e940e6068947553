#include "os/program_memory.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace uzswap::os {

bool ReadProgramMemory(uint64_t from, void* to, size_t bytes) {
  const iovec local = {to, bytes};
  const iovec remote = {reinterpret_cast<void*>(from), bytes};
  // A service thread has the program's memory, whichever process it is in.
  const long self = syscall(SYS_getpid);
  const long read = syscall(SYS_process_vm_readv, self, &local, 1L, &remote, 1L, 0L);
  return read == static_cast<long>(bytes);
}

}  // namespace uzswap::os
