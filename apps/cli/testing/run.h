// Runs a program and collects its output and its end. Makes folders of test files.
// A wait that reaches its deadline (testing/deadline.h) fails the test and returns what came.
#ifndef UZSWAP_APPS_CLI_TESTING_RUN_H_
#define UZSWAP_APPS_CLI_TESTING_RUN_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace uzswap::cli::testing {

struct Ended {
  int status = -1;  // exit status, or -1
  int signal = 0;   // that killed it, or 0
  std::string output;
  std::string errors;
};

// A program that runs. The destructor kills it.
class Running {
 public:
  // `environment` entries are added to the test's own. Standard input is a pipe.
  Running(const std::vector<std::string>& command,
          const std::vector<std::string>& environment = {});
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // One line of its standard output.
  std::string ReadLine();
  void CloseInput();
  // The rest of its output, and its end. A program that does not end has status -1.
  Ended Await();
  // The rest of standard output, until its last writer closes it. Does not wait for the program.
  std::string ReadToEnd();

 private:
  static Ended GiveUp(Ended so_far);

  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int errors_ = -1;
};

inline Ended RunToEnd(const std::vector<std::string>& command,
                      const std::vector<std::string>& environment = {}) {
  Running running(command, environment);
  running.CloseInput();
  return running.Await();
}

// A folder that every user may read. The destructor removes it.
class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();

  [[nodiscard]] const std::string& path() const { return path_; }
  // Writes a file; returns its path.
  std::string File(const std::string& name, const std::string& text, mode_t mode = 0755) const;
  // A copy of another file.
  std::string Copy(const std::string& from, const std::string& name, mode_t mode = 0755) const;

 private:
  std::string path_;
};

std::string ReadFile(const std::string& path);

}  // namespace uzswap::cli::testing

#endif  // UZSWAP_APPS_CLI_TESTING_RUN_H_
