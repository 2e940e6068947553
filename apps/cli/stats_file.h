// StatsFile: the file of --stats, or of --metrics. It is replaced as a whole: a reader never sees a
// part of it.
//
//   regular or new file   written to FILE.uzswap-PID in the same folder, then renamed to FILE
//   anything else         (a pipe, /dev/stdout) is opened at once and written only at the end,
//                         because renaming would replace the device
//
// Open() checks before CMD starts that the file can be written.
#ifndef UZSWAP_APPS_CLI_STATS_FILE_H_
#define UZSWAP_APPS_CLI_STATS_FILE_H_

#include <string>

#include "refusal.h"

namespace uzswap::cli {

class StatsFile {
 public:
  StatsFile(StatsFile&& other) noexcept;
  StatsFile& operator=(StatsFile&&) = delete;
  ~StatsFile();

  // `option` is named in refusals.
  static OrRefusal<StatsFile> Open(const std::string& path, const std::string& option = "--stats");

  // True if the file may be written more than once.
  [[nodiscard]] bool live() const { return descriptor_ < 0; }
  // Returns 0 or an errno.
  [[nodiscard]] int Write(const std::string& text) const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  StatsFile() = default;

  std::string path_;
  std::string beside_;   // the temporary name; empty for a device or a pipe
  int descriptor_ = -1;  // of a device or a pipe
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_STATS_FILE_H_
