// RealPath: a path without links, dots and doubled slashes; empty, with errno, where there is none.
#ifndef UZSWAP_APPS_CLI_REAL_PATH_H_
#define UZSWAP_APPS_CLI_REAL_PATH_H_

#include <stdlib.h>

#include <string>

namespace uzswap::cli {

inline std::string RealPath(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return "";
  std::string text(resolved);
  free(resolved);
  return text;
}

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_REAL_PATH_H_
