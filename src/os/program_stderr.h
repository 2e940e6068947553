// Writing to the program's standard error from wherever we are.
//
// A service thread has a descriptor table of its own, without the program's streams; but
// /proc/self/fd names those of the process's main thread, whoever asks. The file is opened for
// the one line and closed again. Nothing allocates.
//
//   WriteToProgramStderr      waits like any write, so never on a path that may hold a lock
//   TryWriteToProgramStderr   never waits for a reader: a line that does not fit is not written
//
// Any thread may call these.
#ifndef UZSWAP_OS_PROGRAM_STDERR_H_
#define UZSWAP_OS_PROGRAM_STDERR_H_

#include <string_view>

namespace uzswap::os {

// Waits while a pipe is full. A failure is ignored.
void WriteToProgramStderr(std::string_view line);

// Writes all of `line`, at most PIPE_BUF bytes of it, or nothing. False: nothing was written,
// because a pipe or terminal is full, the stream is closed, or it is a socket, which cannot be
// opened by name. A regular file may cost the time of its file system.
bool TryWriteToProgramStderr(std::string_view line);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_STDERR_H_
