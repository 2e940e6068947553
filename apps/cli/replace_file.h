// Replaces files as a whole: a reader sees the former file or the new one, never a part.
#ifndef UZSWAP_APPS_CLI_REPLACE_FILE_H_
#define UZSWAP_APPS_CLI_REPLACE_FILE_H_

#include <sys/types.h>

#include <string>
#include <string_view>

namespace uzswap::cli {

// Returns 0 or an errno.
int WriteAll(int descriptor, std::string_view bytes);

// The path without symbolic links, so that renaming replaces their target and not the link.
std::string WithoutLinks(const std::string& path);

// Writes the bytes to a new file beside `path`, with this mode less the umask, and renames it when
// they are on the disk. Returns 0 or an errno; then `path` is unchanged and nothing else is left.
int ReplaceFile(const std::string& path, std::string_view bytes, mode_t mode);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_REPLACE_FILE_H_
