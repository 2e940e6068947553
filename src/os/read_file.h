// ReadSmallFile: reads a file of /proc, /sys or a cgroup into the caller's buffer.
// SizeOfField, ListHas: look into the text of such a file.
//
// Only open, read and close: no stdio, no allocation, no locale. Any thread may call it. A file
// that is longer than the buffer is cut off. The caller sees it by size() == buffer size.
#ifndef UZSWAP_OS_READ_FILE_H_
#define UZSWAP_OS_READ_FILE_H_

#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

// Reads until the end or until the buffer is full; returns how much. Fails with the errno of read.
Result<size_t> ReadToEnd(int descriptor, std::span<char> buffer);

// The result points into `buffer`. Fails with the errno of open or read.
Result<std::string_view> ReadSmallFile(const char* path, std::span<char> buffer);

// The size in a line "NAME:  N kB" of /proc/PID/status or smaps_rollup. `name` includes what makes
// it unique: the colon, and "\n" before it. Nothing if there is no such line or no number.
std::optional<Bytes> SizeOfField(std::string_view text, std::string_view name);

// True if a list with commas, as of options or controllers, has the item.
[[nodiscard]] bool ListHas(std::string_view list, std::string_view item);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_READ_FILE_H_
