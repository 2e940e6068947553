// Runs the real uzswap as a user does. The environment has the paths of the binaries: run these
// tests by ctest (see apps/cli/CMakeLists.txt).
#ifndef UZSWAP_APPS_CLI_TESTING_UZSWAP_H_
#define UZSWAP_APPS_CLI_TESTING_UZSWAP_H_

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "os/probe.h"
#include "run.h"

namespace uzswap::cli::testing {

using Words = std::vector<std::string>;

inline std::string Binary(const char* variable) {
  const char* path = getenv(variable);
  EXPECT_NE(path, nullptr) << variable << " is not set; run this by ctest";
  return path != nullptr ? path : "";
}

inline Words RunWords(const Words& rest) {
  Words words = {Binary("UZSWAP_BINARY"), "run"};
  words.insert(words.end(), rest.begin(), rest.end());
  return words;
}

inline Ended Uzswap(const Words& rest, const Words& environment = {}) {
  return RunToEnd(RunWords(rest), environment);
}

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A row of a table of refusals.
struct Refused {
  const char* what;
  Words words;
  int status;
  const char* cause;
  const char* fix;
};

// The message has the cause and the fix, and the command, which would print, is not started.
inline void ExpectRefused(const Refused& row) {
  const Ended ended = Uzswap(row.words);
  EXPECT_EQ(ended.status, row.status) << row.what;
  EXPECT_EQ(ended.output, "") << row.what;
  EXPECT_TRUE(Contains(ended.errors, row.cause)) << row.what << ": " << ended.errors;
  EXPECT_TRUE(Contains(ended.errors, row.fix)) << row.what << ": " << ended.errors;
  EXPECT_EQ(ended.errors.rfind("uzswap: ", 0), 0u) << ended.errors;
}

// For tests that start CMD: the runner needs userfaultfd for that.
class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!os::ProbeUserfaultfd().sufficient()) GTEST_SKIP() << "no userfaultfd with MOVE here";
  }
  Folder folder_;
};

}  // namespace uzswap::cli::testing

#endif  // UZSWAP_APPS_CLI_TESTING_UZSWAP_H_
