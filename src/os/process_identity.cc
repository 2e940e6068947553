#include "os/process_identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/parse_size.h"
#include "os/read_file.h"
#include "os/text_line.h"

namespace uzswap::os {
namespace {

// Numbers of fields as proc(5) counts them, from 1.
constexpr int kStateField = 3;
constexpr int kParentField = 4;
constexpr int kThreadsField = 20;
constexpr int kStartTimeField = 22;

// The text after the first `fields` blanks. Empty if there are fewer blanks.
std::string_view SkipFields(std::string_view text, int fields) {
  for (; fields > 0; --fields) {
    const size_t blank = text.find(' ');
    if (blank == std::string_view::npos) return {};
    text = text.substr(blank + 1);
  }
  return text;
}

std::optional<uint64_t> LeadingDecimal(std::string_view text) {
  return ParseDecimal(text.substr(0, text.find_first_of(" \n")));
}

std::optional<ProcessStat> StatOf(const char* path) {
  char buffer[1024];
  const Result<std::string_view> text = ReadSmallFile(path, buffer);
  if (!text.ok()) return std::nullopt;
  return ParseProcessStat(text.value());
}

ProcessIdentity IdentityFrom(const char* stat_path, uint32_t pid) {
  ProcessIdentity identity;
  identity.pid = pid;
  if (const std::optional<ProcessStat> found = StatOf(stat_path)) {
    identity.start_time = found->start_time;
  }
  struct stat inode = {};
  if (stat("/proc/self/ns/pid", &inode) == 0) identity.pid_namespace = inode.st_ino;
  return identity;
}

// EPERM: the process exists and belongs to another user.
bool PidExists(uint32_t pid) { return kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH; }

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  const size_t bracket = text.rfind(')');
  if (bracket == std::string_view::npos || bracket + 2 >= text.size()) return std::nullopt;
  const std::string_view fields = text.substr(bracket + 2);
  const std::optional<uint64_t> parent =
      LeadingDecimal(SkipFields(fields, kParentField - kStateField));
  const std::string_view from_threads = SkipFields(fields, kThreadsField - kStateField);
  const std::optional<uint64_t> threads = LeadingDecimal(from_threads);
  const std::optional<uint64_t> start =
      LeadingDecimal(SkipFields(from_threads, kStartTimeField - kThreadsField));
  if (!parent || *parent > INT32_MAX || !threads || !start) return std::nullopt;
  return ProcessStat{static_cast<uint32_t>(*parent), fields[0], *threads, *start};
}

ProcessIdentity OwnIdentity() {
  return IdentityFrom("/proc/self/stat", static_cast<uint32_t>(getpid()));
}

ProcessIdentity IdentityOfPid(uint32_t pid) {
  TextLine<64> path;
  path.Text("/proc/").Decimal(pid).Text("/stat");
  return IdentityFrom(path.c_str(), pid);
}

// The clock is encoded as in the kernel (include/linux/posix-timers.h): CPUCLOCK_SCHED is 2.
std::optional<uint64_t> ProcessorNsOf(uint32_t pid) {
  constexpr uint32_t kScheduled = 2;
  timespec used{};
  if (clock_gettime(static_cast<clockid_t>(~pid << 3 | kScheduled), &used) != 0)
    return std::nullopt;
  return static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
}

std::optional<uint32_t> ParentOf(uint32_t pid) {
  TextLine<64> path;
  path.Text("/proc/").Decimal(pid).Text("/stat");
  const std::optional<ProcessStat> stat = StatOf(path.c_str());
  if (!stat) return std::nullopt;
  return stat->parent;
}

Result<uint32_t> PidOf(int pidfd) {
  TextLine<64> path;
  path.Text("/proc/self/fdinfo/").Decimal(static_cast<uint64_t>(pidfd));
  char buffer[1024];
  const Result<std::string_view> read = ReadSmallFile(path.c_str(), buffer);
  if (!read.ok()) return read.error();
  constexpr std::string_view kLabel = "\nPid:\t";
  const size_t found = read.value().find(kLabel);
  if (found == std::string_view::npos) return Error{EBADF, "a descriptor that is no pidfd"};
  // -1: the process has ended. 0: it is outside of this pid namespace.
  const std::optional<uint64_t> pid = LeadingDecimal(read.value().substr(found + kLabel.size()));
  if (!pid || *pid == 0 || *pid > INT32_MAX) return Error{ESRCH, "the process of a pidfd"};
  return static_cast<uint32_t>(*pid);
}

Liveness Probe(const ProcessIdentity& process, uint64_t own_namespace) {
  if (process.pid_namespace != own_namespace) return Liveness::kUnknown;
  if (!PidExists(process.pid)) return Liveness::kDead;
  if (process.start_time == 0) return Liveness::kAlive;

  TextLine<64> path;
  path.Text("/proc/").Decimal(process.pid).Text("/stat");
  const std::optional<ProcessStat> stat = StatOf(path.c_str());
  // The process ended between the two checks, or its /proc is not readable (hidepid). Then only the
  // pid is checked.
  if (!stat) return PidExists(process.pid) ? Liveness::kAlive : Liveness::kDead;
  const bool same = stat->start_time == process.start_time;
  const bool ended = (stat->state == 'Z' && stat->threads <= 1) || stat->state == 'X';
  return same && !ended ? Liveness::kAlive : Liveness::kDead;
}

}  // namespace uzswap::os
