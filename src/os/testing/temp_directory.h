// TempDirectory: a folder of a test's own, gone with all that is in it.
//
// Below TMPDIR or /var/tmp: unlike /tmp, that is a disk almost everywhere, and what direct
// input and output do is seen only there.
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
