#include "launch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "os/preload_rules.h"
#include "real_path.h"
#include "uzswap_build.h"

namespace uzswap::cli {
namespace {

// For this runner, not for an inner one.
constexpr std::string_view kRunnerVariables[] = {"UZSWAP_STATS", "UZSWAP_METRICS",
                                                 "UZSWAP_SUMMARY"};

constexpr char kPreloadVariable[] = "LD_PRELOAD";
constexpr char kLibraryName[] = "libuzswap-preload.so";

bool Names(std::string_view entry, std::string_view variable) {
  return entry.size() > variable.size() && entry[variable.size()] == '=' &&
         entry.substr(0, variable.size()) == variable;
}

// Under an outer runner the library is in the list already.
std::string Prepend(const std::string& library, const std::string& former) {
  if (library.empty()) return former;
  if (former.empty()) return library;
  bool runtime_first = false;
  os::ForEachPreload(former, [&](std::string_view entry) {
    runtime_first = runtime_first || os::IsAsanRuntime(entry);
  });
  if (runtime_first) {
    return former.find(library) != std::string::npos ? former : former + ":" + library;
  }
  const bool there = former.rfind(library, 0) == 0 &&
                     (former.size() == library.size() || former[library.size()] == ':');
  return there ? former : library + ":" + former;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  // execve does not write to them, although its parameters are not const.
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What runs between fork and exec. Never returns.
[[noreturn]] void Become(const char* path, char* const* arguments, char* const* environment,
                         const SignalRelay& signals, const DescriptorLimit& descriptors,
                         pid_t runner, int report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The runner may have died before the call above.
  if (getppid() != runner) _exit(kCannotDo);
  signals.RestoreInChild();
  descriptors.RestoreInChild();
  execve(path, arguments, environment);
  const int failure = errno;
  [[maybe_unused]] const ssize_t written = write(report, &failure, sizeof(failure));
  _exit(kCannotDo);
}

Refusal ExecFailed(const std::string& name, int failure) {
  const bool absent = failure == ENOENT || failure == ENOTDIR;
  const bool ours = failure == ENOMEM || failure == E2BIG || failure == EAGAIN;
  return {absent ? kNotFound : (ours ? kCannotDo : kCannotExecute),
          "'" + name + "' cannot be executed: " + strerror(failure), ""};
}

// As named by the user, else as installed, else as built.
std::string PathOfPreloadLibrary() {
  const char* named = getenv("UZSWAP_PRELOAD");
  if (named != nullptr && *named != '\0') return named;
  const std::string own = RealPath("/proc/self/exe");
  const std::string folder = own.substr(0, own.rfind('/') + 1);
  std::string installed = folder + kLibraryFolder + "/" + kLibraryName;
  if (access(installed.c_str(), F_OK) == 0) return installed;
  return folder + "../lib/" + kLibraryName;
}

}  // namespace

OrRefusal<std::string> FindPreloadLibrary() {
  const std::string wanted = PathOfPreloadLibrary();
  const std::string path = RealPath(wanted);
  if (path.empty() || access(path.c_str(), R_OK) != 0) {
    return Refusal{kCannotDo,
                   "the preload library " + (path.empty() ? wanted : path) +
                       " cannot be read: " + strerror(errno),
                   "build it (cmake --build --preset release), or set UZSWAP_PRELOAD to its path"};
  }
  if (path.find_first_of(": ") != std::string::npos) {
    return Refusal{kCannotDo,
                   "the path of the preload library, '" + path +
                       "', has a blank or a colon, which LD_PRELOAD does not allow",
                   "install uzswap elsewhere"};
  }
  return path;
}

std::vector<std::string> MakeEnvironment(const char* const* environment, const std::string& preload,
                                         const std::string& session, const Options& options,
                                         bool no_follow, const std::string& broker,
                                         const std::string& dictionary) {
  std::vector<std::string> result;
  std::string former;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    const bool preloads = Names(entry, kPreloadVariable);
    if (preloads) former = entry.substr(sizeof(kPreloadVariable));
    bool replaced = preloads;
    for (const std::string_view own : kRunnerVariables) replaced = replaced || Names(entry, own);
    for (const std::string_view ours : kRunVariables) replaced = replaced || Names(entry, ours);
    if (!replaced) result.emplace_back(entry);
  }
  const auto set = [&](const char* name, const std::string& value) {
    result.push_back(std::string(name) + "=" + value);
  };
  const std::string list = Prepend(preload, former);
  if (!list.empty()) set(kPreloadVariable, list);
  set(kSessionVariable, session);
  if (!broker.empty()) set(kBrokerVariable, broker);
  set(kLimitVariable, std::to_string(options.limit.raw()));
  set(kCodecVariable, Name(options.codec));
  set(kPoolVariable, Name(options.pool));
  // An option that was not given has no variable.
  const auto set_bytes = [&](const char* name, Bytes bytes, const std::string& unit = "") {
    if (bytes != Bytes(0)) set(name, std::to_string(bytes.raw()) + unit);
  };
  // A default is not passed on: an inner runner derives its own from its own limit.
  if (options.pool_limit != DefaultPoolLimit(options)) {
    set_bytes(kPoolLimitVariable, options.pool_limit);
  }
  if (options.backing[0] != '\0') set(kBackingVariable, options.backing);
  set_bytes(kBackingSizeVariable, options.backing_size);
  set_bytes(kWriteLimitVariable, options.write_limit, PeriodSuffix(options.write_period_s));
  if (options.encrypt) set(kEncryptVariable, "1");
  if (options.engine != EngineHome::kSibling) set(kEngineVariable, Name(options.engine));
  if (options.dictionary == DictionaryMode::kOff) {
    set(kDictionaryVariable, "off");
  } else if (!dictionary.empty()) {
    set(kDictionaryVariable, dictionary);
  }
  if (no_follow) set(kNoFollowVariable, "1");
  return result;
}

OrRefusal<pid_t> Launch(const Program& program, const std::vector<std::string>& command,
                        const std::vector<std::string>& environment, const SignalRelay& signals,
                        const DescriptorLimit& descriptors) {
  std::vector<std::string> words = command;
  std::string path = program.path;
  if (program.through_shell) {
    words[0] = path;
    words.insert(words.begin(), "sh");
    path = "/bin/sh";
  }
  const std::vector<char*> arguments = Pointers(words);
  const std::vector<char*> variables = Pointers(environment);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) {
    return Refusal{kCannotDo, std::string("pipe: ") + strerror(errno), ""};
  }
  const pid_t runner = getpid();
  // The child only makes system calls until it executes, so it can share the runner's memory.
  const pid_t child = vfork();
  if (child == 0) {
    Become(path.c_str(), arguments.data(), variables.data(), signals, descriptors, runner,
           report[1]);
  }
  const int fork_errno = errno;
  close(report[1]);
  int failure = 0;
  ssize_t count = 0;
  if (child > 0) {
    do {
      count = read(report[0], &failure, sizeof(failure));
    } while (count < 0 && errno == EINTR);
  }
  close(report[0]);
  if (child < 0) return Refusal{kCannotDo, std::string("fork: ") + strerror(fork_errno), ""};
  if (count == static_cast<ssize_t>(sizeof(failure))) {
    waitpid(child, nullptr, 0);
    return ExecFailed(command[0], failure);
  }
  return child;
}

}  // namespace uzswap::cli
