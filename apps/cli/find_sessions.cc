#include "find_sessions.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/parse_size.h"
#include "os/process_identity.h"

namespace uzswap::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kSeenByPs[] = "give a number that uzswap ps shows";

bool LookAtDescriptor(int descriptor, struct statx* status) {
  // Without synchronisation: the file may be in a file system that a hostile process serves.
  constexpr int kFlags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  return statx(descriptor, "", kFlags, STATX_TYPE | STATX_UID | STATX_INO, status) == 0;
}

uint64_t DeviceOf(const struct statx& status) {
  return uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor;
}

// The file system of the kernel that all memfds are in; nobody can mount it.
std::optional<uint64_t> DeviceOfMemory() {
  static const std::optional<uint64_t> device = []() -> std::optional<uint64_t> {
    const int own = memfd_create("uzswap-kind", MFD_CLOEXEC);
    if (own < 0) return std::nullopt;
    struct statx status {};
    const bool seen = LookAtDescriptor(own, &status);
    close(own);
    return seen ? std::optional(DeviceOf(status)) : std::nullopt;
  }();
  return device;
}

uint64_t StartTimeIn(const fs::path& folder) {
  std::ifstream file(folder / "stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::optional<os::ProcessStat> stat = os::ParseProcessStat(text);
  return stat ? stat->start_time : 0;
}

class Search {
 public:
  // Adds the sessions that one process holds.
  void LookAt(uint32_t pid, const fs::path& folder) {
    struct stat process {};
    std::error_code error;
    fs::directory_iterator files(folder / "fd", error);
    // A process that has ended meanwhile is not worth a word.
    if (error || stat(folder.c_str(), &process) != 0) {
      found_.unreadable += error == std::errc::permission_denied ? 1 : 0;
      return;
    }
    for (; !error && files != fs::directory_iterator(); files.increment(error)) {
      const fs::path link = files->path();
      std::error_code unreadable;
      const std::string target = fs::read_symlink(link, unreadable).string();
      if (unreadable || !target.starts_with(session_link_)) continue;
      const std::optional<SessionMemory> memory = LookAtMemory(link, process.st_uid);
      if (!memory) continue;
      Add(*memory, {StartTimeIn(folder), pid});
      close(memory->descriptor);
    }
  }

  FoundSessions Take() {
    for (FoundSession& each : found_.sessions) std::sort(each.holders.begin(), each.holders.end());
    std::sort(found_.sessions.begin(), found_.sessions.end(),
              [](const auto& a, const auto& b) { return a.holder() < b.holder(); });
    return std::move(found_);
  }

 private:
  void Add(const SessionMemory& memory, const SessionHolder& holder) {
    const auto [entry, first] = seen_.try_emplace(memory.inode, kUnreadable);
    if (first) {
      const std::string path = "/proc/self/fd/" + std::to_string(memory.descriptor);
      Result<Session> session = Session::Open(path.c_str());
      if (!session.ok()) {
        ++found_.other_versions;
        return;
      }
      entry->second = found_.sessions.size();
      OwnDescriptor file(fcntl(memory.descriptor, F_DUPFD_CLOEXEC, 0));
      found_.sessions.push_back({{}, std::move(session).value(), std::move(file)});
    }
    if (entry->second == kUnreadable) return;
    std::vector<SessionHolder>& holders = found_.sessions[entry->second].holders;
    const bool known = std::any_of(holders.begin(), holders.end(),
                                   [&](const auto& each) { return each.pid == holder.pid; });
    if (!known) holders.push_back(holder);
  }

  static constexpr size_t kUnreadable = SIZE_MAX;

  const std::string session_link_ = std::string("/memfd:") + Session::kMemoryName;
  std::map<uint64_t, size_t> seen_;  // by inode: which of the sessions
  FoundSessions found_;
};

bool IsHeldBy(const FoundSession& run, uint32_t id) {
  return std::any_of(run.holders.begin(), run.holders.end(),
                     [id](const SessionHolder& holder) { return holder.pid == id; });
}

bool IsProcessOf(const FoundSession& run, uint32_t id, uint64_t own_namespace) {
  bool found = false;
  run.session.VisitLive([&](const Session::RecordView& record) {
    found = found || (record.process.pid == id && record.process.pid_namespace == own_namespace);
  });
  return found;
}

Refusal Ambiguous(uint32_t id, const std::vector<FoundSession*>& named) {
  std::string runners;
  for (const FoundSession* run : named) {
    runners += (runners.empty() ? "" : " or ") + std::to_string(run->holder());
  }
  // One process can hold several sessions: then its number is of no use.
  const bool told_apart = named.front()->holder() != named.back()->holder();
  return {kCannotDo, std::to_string(id) + " is a process of several runs",
          told_apart ? "give the number of the runner: " + runners
                     : "give the number of another process, as uzswap ps shows it"};
}

}  // namespace

std::optional<SessionMemory> LookAtMemory(const std::string& path, uint32_t owner) {
  const int descriptor = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  struct statx status {};
  // What is owned by root here is a process that others may not look into; its memory is its
  // user's.
  const bool right = LookAtDescriptor(descriptor, &status) && S_ISREG(status.stx_mode) &&
                     DeviceOf(status) == DeviceOfMemory() &&
                     (status.stx_uid == owner || owner == 0);
  if (right) return SessionMemory{descriptor, status.stx_ino};
  close(descriptor);
  return std::nullopt;
}

FoundSessions FindSessions(const std::string& proc) {
  Search search;
  std::error_code error;
  for (fs::directory_iterator entries(proc, error); !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    const std::optional<uint64_t> pid = ParseDecimal(entries->path().filename().native());
    if (pid) search.LookAt(static_cast<uint32_t>(*pid), entries->path());
  }
  return search.Take();
}

OrRefusal<FoundSession> FindRun(FoundSessions found, uint32_t id, uint64_t own_namespace) {
  std::vector<FoundSession*> named;
  for (FoundSession& each : found.sessions) {
    if (IsHeldBy(each, id)) named.push_back(&each);
  }
  // The runner of an inner run is a process of the outer one.
  if (named.empty()) {
    for (FoundSession& each : found.sessions) {
      if (IsProcessOf(each, id, own_namespace)) named.push_back(&each);
    }
  }
  if (named.size() == 1) return std::move(*named.front());
  if (named.size() > 1) return Ambiguous(id, named);
  std::string fix = kSeenByPs;
  if (found.unreadable > 0) fix += "; run this as root to see the runs of other users";
  if (found.other_versions > 0) fix += "; use the version of uzswap that the run was started with";
  return Refusal{kCannotDo, std::to_string(id) + " is not a process of a run that can be seen here",
                 fix};
}

}  // namespace uzswap::cli
