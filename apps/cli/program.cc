#include "program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "elf_image.h"
#include "script.h"

namespace uzswap::cli {
namespace {

// The kernel has the same bound (BINPRM_MAX_RECURSION).
constexpr int kScriptLevelsMax = 5;
constexpr size_t kHeadBytes = 256;  // of a script; the kernel reads as many

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::string Quoted(const std::string& name) { return "'" + name + "'"; }

// 0, or why the file cannot be executed.
int ExecuteErrno(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0) return errno;
  return S_ISREG(status.st_mode) ? 0 : EACCES;
}

// If a folder of PATH may not be searched, nobody can tell whether the file exists.
bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

Refusal NotExecutable(const std::string& path, int failure) {
  if (failure == EISDIR) return {kCannotExecute, Quoted(path) + " is a directory", ""};
  return {kCannotExecute, Quoted(path) + " cannot be executed: " + strerror(failure),
          failure == EACCES && Exists(path) ? "chmod +x " + path : ""};
}

bool MeansAbsent(int failure) {
  return failure == ENOENT || failure == ENOTDIR || failure == ENAMETOOLONG || failure == ELOOP;
}

// As execvp does it: a name with a slash is a path. A file in PATH that cannot be executed does
// not end the search, but it is reported if no other file is found.
OrRefusal<std::string> LookUp(const std::string& name, const std::string& search_path) {
  const Refusal absent{kNotFound, Quoted(name) + " was not found", ""};
  if (name.empty()) return absent;
  if (name.find('/') != std::string::npos) {
    const int failure = ExecuteErrno(name);
    if (failure == 0) return name;
    return MeansAbsent(failure) ? absent : NotExecutable(name, failure);
  }
  std::optional<Refusal> remembered;
  std::string_view rest = search_path;
  while (true) {
    const size_t colon = rest.find(':');
    const std::string folder(rest.substr(0, colon));
    const std::string path = (folder.empty() ? "." : folder) + "/" + name;
    const int failure = ExecuteErrno(path);
    if (failure == 0) return path;
    if (failure == EACCES && !remembered && Exists(path)) remembered = NotExecutable(path, failure);
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (remembered) return *remembered;
  return Refusal{kNotFound, Quoted(name) + " was not found in PATH", ""};
}

std::optional<Refusal> CheckPrivileges(const std::string& path, int fd) {
  struct stat status = {};
  fstat(fd, &status);
  const std::string fix =
      "run a copy without the privilege, as a user who needs none: cp " + path + " ./copy";
  // Without the group's execute bit, setgid means mandatory locking, not privilege.
  const bool set_group = (status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
  if ((status.st_mode & S_ISUID) != 0 || set_group) {
    return Refusal{kCannotDo,
                   Quoted(path) + ((status.st_mode & S_ISUID) != 0 ? " is setuid" : " is setgid") +
                       ": the loader drops LD_PRELOAD from programs that change their privileges",
                   fix};
  }
  if (fgetxattr(fd, "security.capability", nullptr, 0) > 0) {
    return Refusal{kCannotDo,
                   Quoted(path) +
                       " has file capabilities: the loader drops LD_PRELOAD from"
                       " programs that gain privileges",
                   "run a copy without them (setcap -r ./copy): cp " + path + " ./copy"};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckElf(const std::string& path, const ElfFacts& facts) {
  const std::string name = Quoted(path);
  switch (facts.kind) {
    case ElfKind::kNotElf:
    case ElfKind::kGlibc:
    case ElfKind::kRunner:
      return std::nullopt;
    case ElfKind::kBroken:
      return Refusal{kCannotExecute, name + " is a damaged executable", ""};
    case ElfKind::kNotAProgram:
      return Refusal{kCannotExecute, name + " is an object file or a core dump, not a program", ""};
    case ElfKind::kOtherMachine:
      return Refusal{kCannotDo, name + " is built for another architecture (" + facts.detail + ")",
                     "run a build of it for this machine"};
    case ElfKind::kStatic:
      return Refusal{kCannotDo,
                     name +
                         " is a static binary: without the dynamic loader nothing can be"
                         " loaded into it",
                     "link it dynamically (drop -static; for Go: CGO_ENABLED=1 go build"
                     " -ldflags=-linkmode=external)"};
    case ElfKind::kOtherLibrary:
      return Refusal{kCannotDo,
                     name + " uses the loader " + facts.detail + ", which is not glibc's",
                     "run a build of it for glibc"};
  }
  return std::nullopt;
}

// Checks one file of the chain. Returns the name of the next one, "" at the end, or a refusal.
OrRefusal<std::string> CheckFile(const std::string& path, const std::string& search_path,
                                 bool* is_elf) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    return Refusal{kCannotDo,
                   Quoted(path) + " cannot be read (" + strerror(errno) +
                       "), so uzswap can neither check it nor read its memory map",
                   "chmod +r " + path};
  }
  if (const auto refusal = CheckPrivileges(path, file.get())) return *refusal;
  const ElfFacts facts = InspectElf(file.get());
  if (const auto refusal = CheckElf(path, facts)) return *refusal;
  *is_elf = facts.kind == ElfKind::kGlibc || facts.kind == ElfKind::kRunner;
  if (*is_elf) return std::string();

  char head[kHeadBytes] = {};
  const ssize_t length = pread(file.get(), head, sizeof(head), 0);
  const auto script = ParseScript({head, length > 0 ? static_cast<size_t>(length) : 0});
  if (!script) return std::string();
  if (!script->env_command) return script->interpreter;
  // The kernel runs env first, and env runs what it finds in PATH.
  return LookUp(*script->env_command, search_path);
}

Refusal WithScript(Refusal refusal, const std::string& script) {
  refusal.cause += ", which the script " + Quoted(script) + " asks for";
  return refusal;
}

}  // namespace

OrRefusal<Program> FindProgram(const std::string& name, const std::string& search_path) {
  const OrRefusal<std::string> found = LookUp(name, search_path);
  if (const Refusal* refusal = RefusalOf(found)) return *refusal;
  Program program;
  program.path = std::get<std::string>(found);

  std::string path = program.path;
  for (int level = 0; level <= kScriptLevelsMax; ++level) {
    bool is_elf = false;
    const OrRefusal<std::string> next = CheckFile(path, search_path, &is_elf);
    if (const Refusal* refusal = RefusalOf(next)) {
      return level == 0 ? *refusal : WithScript(*refusal, program.path);
    }
    const std::string& interpreter = std::get<std::string>(next);
    if (interpreter.empty()) {
      // Only the first file may be a script without "#!": the kernel, not a shell, starts the
      // interpreters of the others.
      program.through_shell = !is_elf && level == 0;
      if (is_elf || level == 0) return program;
      return WithScript({kCannotExecute, Quoted(path) + " is not a program", ""}, program.path);
    }
    if (const int failure = ExecuteErrno(interpreter); failure != 0) {
      const Refusal refusal = MeansAbsent(failure)
                                  ? Refusal{kNotFound, Quoted(interpreter) + " was not found", ""}
                                  : NotExecutable(interpreter, failure);
      return WithScript(refusal, program.path);
    }
    path = interpreter;
  }
  return Refusal{kCannotExecute, Quoted(program.path) + " is a script of too many levels", ""};
}

}  // namespace uzswap::cli
