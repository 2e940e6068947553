// Writing to the program's standard error from wherever we are.
//
// A service thread has a descriptor table of its own, without the program's streams; but
// /proc/self/fd names those of the process's main thread, whoever asks. The file is opened for
// the one line and closed again. Nothing allocates; a failure is ignored.
#ifndef UZSWAP_OS_PROGRAM_STDERR_H_
#define UZSWAP_OS_PROGRAM_STDERR_H_

#include <string_view>

namespace uzswap::os {

void WriteToProgramStderr(std::string_view line);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_STDERR_H_
