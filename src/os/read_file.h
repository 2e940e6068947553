// ReadSmallFile: reads a file of /proc, /sys or a cgroup into the caller's buffer.
//
// Only open, read and close: no stdio, no allocation, no locale. Any thread may call it. A file
// that is longer than the buffer is cut off. The caller sees it by size() == buffer size.
#ifndef UZSWAP_OS_READ_FILE_H_
#define UZSWAP_OS_READ_FILE_H_

#include <span>
#include <string_view>

#include "base/result.h"

namespace uzswap::os {

// The result points into `buffer`. Fails with the errno of open or read.
Result<std::string_view> ReadSmallFile(const char* path, std::span<char> buffer);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_READ_FILE_H_
