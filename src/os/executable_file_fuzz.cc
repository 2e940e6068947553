// Arbitrary bytes as an executable: inspecting it ends, and reads nothing outside the file.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/check.h"
#include "os/executable_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int file = memfd_create("an executable", MFD_CLOEXEC);
  UZ_CHECK(file >= 0);
  UZ_CHECK(write(file, data, size) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  static_cast<void>(uzswap::os::InspectExecutable(path.c_str()));
  close(file);
  return 0;
}
