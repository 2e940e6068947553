#include "os/process_identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/parse_size.h"
#include "os/read_file.h"
#include "os/text_line.h"

namespace uzswap::os {
namespace {

// Numbers of fields as proc(5) counts them, from 1.
constexpr int kStateField = 3;
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

// EPERM: the process exists and belongs to another user.
bool PidExists(uint32_t pid) { return kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH; }

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  const size_t bracket = text.rfind(')');
  if (bracket == std::string_view::npos || bracket + 2 >= text.size()) return std::nullopt;
  const std::string_view fields = text.substr(bracket + 2);
  const std::string_view from_threads = SkipFields(fields, kThreadsField - kStateField);
  const std::optional<uint64_t> threads = LeadingDecimal(from_threads);
  const std::optional<uint64_t> start =
      LeadingDecimal(SkipFields(from_threads, kStartTimeField - kThreadsField));
  if (!threads || !start) return std::nullopt;
  return ProcessStat{fields[0], *threads, *start};
}

ProcessIdentity OwnIdentity() {
  ProcessIdentity identity;
  identity.pid = static_cast<uint32_t>(getpid());
  if (const std::optional<ProcessStat> stat = StatOf("/proc/self/stat")) {
    identity.start_time = stat->start_time;
  }
  struct stat inode = {};
  if (stat("/proc/self/ns/pid", &inode) == 0) identity.pid_namespace = inode.st_ino;
  return identity;
}

ProcessIdentity IdentityOfPid(uint32_t pid) {
  ProcessIdentity identity;
  identity.pid = pid;
  TextLine<64> path;
  path.Text("/proc/").Decimal(pid).Text("/stat");
  if (const std::optional<ProcessStat> stat = StatOf(path.c_str())) {
    identity.start_time = stat->start_time;
  }
  struct stat inode = {};
  if (stat("/proc/self/ns/pid", &inode) == 0) identity.pid_namespace = inode.st_ino;
  return identity;
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
