// Writes to the program's standard error, from any thread.
//
// A service thread has its own descriptor table without the program's streams. But /proc/PID/fd of
// the program has them for every reader (os/program.h). The file is opened for one line and then
// closed. Nothing allocates.
//
//   WriteToProgramStderr      may block as any write; must not be called with a lock held. A stream
//                             that cannot be opened is written to by descriptor 2, which is the
//                             program's in its own threads, and the null device in service threads
//   TryWriteToProgramStderr   never waits for a reader; a line that does not fit is not written
//
// Any thread may call these.
#ifndef UZSWAP_OS_PROGRAM_STDERR_H_
#define UZSWAP_OS_PROGRAM_STDERR_H_

#include <string_view>

namespace uzswap::os {

// Waits while a pipe is full. A failure is ignored, and raises no SIGPIPE.
void WriteToProgramStderr(std::string_view line);

// Writes `line`, but at most its first PIPE_BUF bytes, or nothing. False: nothing was written,
// because a pipe or terminal is full, or the stream is closed, or it is a socket, which cannot be
// opened by path. A write to a regular file may wait for the disk.
bool TryWriteToProgramStderr(std::string_view line);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_STDERR_H_
