// FileTree: files that stand for those below "/", for code that takes a root for its paths.
#ifndef UZSWAP_OS_TESTING_FILE_TREE_H_
#define UZSWAP_OS_TESTING_FILE_TREE_H_

#include <filesystem>
#include <fstream>
#include <string>

#include "os/testing/temp_directory.h"

namespace uzswap::os {

class FileTree {
 public:
  [[nodiscard]] const std::string& root() const { return directory_.path(); }
  // `file` begins with "/". Its folders are made.
  void Write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path(root() + file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

 private:
  TempDirectory directory_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_FILE_TREE_H_
