// StatsFile: where --stats goes; rewritten as a whole, so that a reader never sees half of it.
//
//   regular or new file   written beside it as FILE.uzswap-PID, then renamed over it
//   anything else         (a pipe, /dev/stdout) is opened at once and written at the end only:
//                         renaming over a device would replace it
//
// Open() finds out before CMD is started whether writing will work.
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

  static OrRefusal<StatsFile> Open(const std::string& path);

  // True when the file may be written again and again.
  [[nodiscard]] bool live() const { return descriptor_ < 0; }
  // Returns 0 or an errno.
  [[nodiscard]] int Write(const std::string& text) const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  StatsFile() = default;

  std::string path_;
  std::string beside_;   // the temporary name; empty for what cannot be renamed over
  int descriptor_ = -1;  // of what cannot be renamed over
};

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_STATS_FILE_H_
