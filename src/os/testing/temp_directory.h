// TempDirectory: a directory of a test. The destructor deletes it and its content.
//
// It is in TMPDIR or in /var/tmp, which is on a disk on most systems. /tmp often is not, and direct
// I/O can be tested on a disk only.
#ifndef UZSWAP_OS_TESTING_TEMP_DIRECTORY_H_
#define UZSWAP_OS_TESTING_TEMP_DIRECTORY_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace uzswap::os {

class TempDirectory {
 public:
  TempDirectory() {
    const char* root = getenv("TMPDIR");
    path_ = std::string(root != nullptr ? root : "/var/tmp") + "/uzswap-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_TEMP_DIRECTORY_H_
