#include "exec_calls.h"

#include <alloca.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstring>

#include "environment_repair.h"
#include "exported.h"
#include "loaded_libraries.h"
#include "os/executable_file.h"
#include "os/own_address.h"
#include "os/text_line.h"
#include "unmanaged.h"

extern "C" char** environ;

namespace uzswap {
namespace {

constexpr size_t kStackBytesMax = 32 << 10;
constexpr size_t kPathBytes = 1024;

using Words = char* const*;

// The next definitions after this library. Written by the constructor.
struct NextFunctions {
  int (*execve)(const char*, Words, Words);
  int (*execvpe)(const char*, Words, Words);
  int (*fexecve)(int, Words, Words);
  int (*execveat)(int, const char*, Words, Words, int);
  int (*posix_spawn)(int*, const char*, const void*, const void*, Words, Words);
  int (*posix_spawnp)(int*, const char*, const void*, const void*, Words, Words);
};
NextFunctions g_next{};

EnvironmentRepair g_repair;
Session* g_session = nullptr;
bool g_no_follow = false;

bool ForbidsFollowing(const char* const* environment) {
  const auto value = FindVariable(environment, kNoFollowVariable);
  return value && IsSet(*value);
}

UnmanagedReason ReasonFor(os::ExecutableKind kind) {
  switch (kind) {
    case os::ExecutableKind::kUnknown:
    case os::ExecutableKind::kPreloadable:
    case os::ExecutableKind::kRunner:
      return {};
    case os::ExecutableKind::kStatic:
      return {"is a static binary", "link it dynamically"};
    case os::ExecutableKind::kOtherLoader:
      return {"does not use glibc's loader", "run a build of it for glibc"};
    case os::ExecutableKind::kOtherMachine:
      return {"is built for another architecture", "run a build of it for this machine"};
    case os::ExecutableKind::kPrivileged:
      return {"gains privileges (setuid, setgid or file capabilities)",
              "run a copy without the privilege, as a user who needs none"};
    case os::ExecutableKind::kSanitized:
      return {"is built with AddressSanitizer", "build it without -fsanitize=address"};
  }
  return {};
}

// The library may be out of reach after chroot, or for another user.
bool LibraryIsReadable() {
  const int file = open(g_repair.library(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file >= 0) close(file);
  return file >= 0 || (errno != EACCES && errno != ENOENT && errno != ENOTDIR);
}

struct Decision {
  EnvironmentRepair::Library library = EnvironmentRepair::Library::kWanted;
  bool counted = false;
};

Decision Report(const char* path, const UnmanagedReason& reason, bool leave_out) {
  ReportUnmanaged(*g_session, path, reason);
  using Library = EnvironmentRepair::Library;
  return {leave_out ? Library::kLeftOut : Library::kWanted, true};
}

// Decides whether the library can be in the program, and reports it if not.
Decision Decide(const char* path, const char* const* environment) {
  const os::ExecutableKind kind = os::InspectExecutable(path);
  const UnmanagedReason reason = ReasonFor(kind);
  // valgrind's tool is static; it runs the program that the library will be in.
  if (*reason.cause != '\0' && !FindVariable(environment, "VALGRIND_LAUNCHER")) {
    return Report(path, reason, kind != os::ExecutableKind::kPrivileged);
  }
  if (kind == os::ExecutableKind::kPreloadable && !LibraryIsReadable()) {
    return Report(path,
                  {"cannot read uzswap's library as this user or in this root directory",
                   "install uzswap where every user can read it"},
                  true);
  }
  return {};
}

// Calls next(environment) with the environment that the program at `path` should have. A null path:
// the program is not known.
template <typename Next>
int WithEnvironment(const char* path, Words given, Next&& next) {
  static char* const kEmpty[] = {nullptr};
  Words environment = given == nullptr ? kEmpty : given;
  if (g_session == nullptr || !g_repair.usable()) return next(given);
  const Decision decision = path == nullptr ? Decision{} : Decide(path, environment);
  EnvironmentRepair::Plan plan = g_repair.MakePlan(environment, decision.library);
  bool counted = decision.counted;
  const bool wanted = decision.library == EnvironmentRepair::Library::kWanted;
  if (plan.bytes != 0 && wanted && (g_no_follow || ForbidsFollowing(environment))) {
    if (plan.change_preload && !counted && path != nullptr) {
      ReportUnmanaged(*g_session, path, {"is started without LD_PRELOAD", "drop --no-follow"});
      counted = true;
    }
    plan.bytes = 0;
  }
  int result = 0;
  if (plan.bytes == 0) {
    result = next(given);
  } else if (plan.bytes <= kStackBytesMax) {
    result = next(g_repair.Build(environment, plan, decision.library, alloca(plan.bytes)));
  } else {
    void* memory = mmap(os::NextOwnAddress(plan.bytes), plan.bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return next(given);
    result = next(g_repair.Build(environment, plan, decision.library, memory));
    munmap(memory, plan.bytes);
  }
  if (counted && result != 0) g_session->UncountUnmanaged();
  return result;
}

// Finds the file that execvp will execute. Null if there is none.
const char* FindInPath(const char* file, os::TextLine<kPathBytes>* found) {
  if (strchr(file, '/') != nullptr) return file;
  const auto value = FindVariable(environ, "PATH");
  std::string_view rest = value ? *value : "/bin:/usr/bin";
  while (true) {
    const size_t colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    *found = os::TextLine<kPathBytes>();
    found->Text(folder.empty() ? "." : folder).Text("/").Text(file);
    if (access(found->c_str(), X_OK) == 0) return found->c_str();
    if (colon == std::string_view::npos) return nullptr;
    rest.remove_prefix(colon + 1);
  }
}

int CallExecve(const char* path, Words arguments, Words environment) {
  return WithEnvironment(path, environment,
                         [&](Words made) { return g_next.execve(path, arguments, made); });
}

int CallExecvpe(const char* file, Words arguments, Words environment) {
  os::TextLine<kPathBytes> found;
  const char* path = g_session == nullptr ? nullptr : FindInPath(file, &found);
  return WithEnvironment(path, environment,
                         [&](Words made) { return g_next.execvpe(file, arguments, made); });
}

// The number of arguments up to and with the null.
size_t CountArguments(va_list* list) {
  size_t count = 1;
  while (va_arg(*list, char*) != nullptr) ++count;
  return count;
}

// Copies the arguments of execl and its kin into an array; `first` may be the null.
void CopyArguments(const char* first, va_list* list, char** array) {
  array[0] = const_cast<char*>(first);
  for (size_t i = 0; array[i] != nullptr; ++i) array[i + 1] = va_arg(*list, char*);
}

}  // namespace

void FindExecFunctions() {
  FindNext("execve", &g_next.execve);
  FindNext("execvpe", &g_next.execvpe);
  FindNext("fexecve", &g_next.fexecve);
  FindNext("execveat", &g_next.execveat);
  FindNext("posix_spawn", &g_next.posix_spawn);
  FindNext("posix_spawnp", &g_next.posix_spawnp);
}

void FollowExec(Session& session, const char* const* environment) {
  g_repair.Remember(environment, OwnLibraryPath());
  g_no_follow = ForbidsFollowing(environment);
  g_session = &session;
}

}  // namespace uzswap

// Builds `words` from the arguments of a variadic function, in the caller's frame.
// The header declares `first` as never null, but the array of arguments may be empty.
#define UZ_ARGUMENTS(words, first, list)                                                         \
  const char* words##_first = first;                                                             \
  __asm__("" : "+r"(words##_first));                                                             \
  va_list list;                                                                                  \
  va_start(list, first);                                                                         \
  const size_t words##_count = words##_first == nullptr ? 1 : uzswap::CountArguments(&list) + 1; \
  va_end(list);                                                                                  \
  auto** words = static_cast<char**>(alloca(words##_count * sizeof(char*)));                     \
  va_start(list, first);                                                                         \
  uzswap::CopyArguments(words##_first, &list, words)

extern "C" {

UZ_EXPORTED int execve(const char* path, char* const* arguments,
                       char* const* environment) noexcept {
  return uzswap::CallExecve(path, arguments, environment);
}
UZ_EXPORTED int execv(const char* path, char* const* arguments) noexcept {
  return uzswap::CallExecve(path, arguments, environ);
}
UZ_EXPORTED int execvpe(const char* file, char* const* arguments,
                        char* const* environment) noexcept {
  return uzswap::CallExecvpe(file, arguments, environment);
}
UZ_EXPORTED int execvp(const char* file, char* const* arguments) noexcept {
  return uzswap::CallExecvpe(file, arguments, environ);
}

UZ_EXPORTED int execl(const char* path, const char* first, ...) noexcept {
  UZ_ARGUMENTS(words, first, list);
  va_end(list);
  return uzswap::CallExecve(path, words, environ);
}
UZ_EXPORTED int execlp(const char* file, const char* first, ...) noexcept {
  UZ_ARGUMENTS(words, first, list);
  va_end(list);
  return uzswap::CallExecvpe(file, words, environ);
}
UZ_EXPORTED int execle(const char* path, const char* first, ...) noexcept {
  UZ_ARGUMENTS(words, first, list);
  char* const* environment = va_arg(list, char* const*);
  va_end(list);
  return uzswap::CallExecve(path, words, environment);
}

UZ_EXPORTED int fexecve(int file, char* const* arguments, char* const* environment) noexcept {
  uzswap::os::TextLine<32> path;
  path.Text("/proc/self/fd/").Decimal(static_cast<uint64_t>(file < 0 ? 0 : file));
  return uzswap::WithEnvironment(
      file < 0 ? nullptr : path.c_str(), environment,
      [&](char* const* made) { return uzswap::g_next.fexecve(file, arguments, made); });
}
UZ_EXPORTED int execveat(int folder, const char* path, char* const* arguments,
                         char* const* environment, int flags) noexcept {
  const bool plain = folder == AT_FDCWD || (path != nullptr && path[0] == '/');
  return uzswap::WithEnvironment(plain ? path : nullptr, environment, [&](char* const* made) {
    return uzswap::g_next.execveat(folder, path, arguments, made, flags);
  });
}

UZ_EXPORTED int posix_spawn(int* process, const char* path, const void* actions,
                            const void* attributes, char* const* arguments,
                            char* const* environment) {
  return uzswap::WithEnvironment(path, environment, [&](char* const* made) {
    return uzswap::g_next.posix_spawn(process, path, actions, attributes, arguments, made);
  });
}
UZ_EXPORTED int posix_spawnp(int* process, const char* file, const void* actions,
                             const void* attributes, char* const* arguments,
                             char* const* environment) {
  uzswap::os::TextLine<uzswap::kPathBytes> found;
  const char* path = uzswap::g_session == nullptr ? nullptr : uzswap::FindInPath(file, &found);
  return uzswap::WithEnvironment(path, environment, [&](char* const* made) {
    return uzswap::g_next.posix_spawnp(process, file, actions, attributes, arguments, made);
  });
}

}  // extern "C"
