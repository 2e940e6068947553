#include "find_sessions.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/parse_size.h"

namespace uzswap::cli {
namespace {

namespace fs = std::filesystem;

// The sessions that one process holds.
void LookAt(uint32_t pid, const fs::path& folder, std::set<uint64_t>* seen, FoundSessions* found) {
  std::error_code error;
  fs::directory_iterator files(folder / "fd", error);
  // A process that has ended meanwhile is not worth a word.
  if (error) {
    found->unreadable += error == std::errc::permission_denied ? 1 : 0;
    return;
  }
  const std::string session_link = std::string("/memfd:") + Session::kMemoryName;
  for (; !error && files != fs::directory_iterator(); files.increment(error)) {
    const fs::path link = files->path();
    std::error_code unreadable;
    const std::string target = fs::read_symlink(link, unreadable).string();
    if (unreadable || !target.starts_with(session_link)) continue;
    struct stat status {};
    if (stat(link.c_str(), &status) != 0 || !seen->insert(status.st_ino).second) continue;
    Result<Session> session = Session::Open(link.c_str());
    if (session.ok()) {
      found->sessions.push_back({pid, std::move(session).value()});
    } else {
      ++found->other_versions;
    }
  }
}

}  // namespace

FoundSessions FindSessions(const std::string& proc) {
  FoundSessions found;
  std::set<uint64_t> seen;
  std::vector<std::pair<uint32_t, fs::path>> processes;
  std::error_code error;
  for (fs::directory_iterator entries(proc, error); !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    const std::optional<uint64_t> pid = ParseDecimal(entries->path().filename().native());
    if (pid) processes.emplace_back(static_cast<uint32_t>(*pid), entries->path());
  }
  // The runner is older than its broker.
  std::sort(processes.begin(), processes.end());
  for (const auto& [pid, folder] : processes) LookAt(pid, folder, &seen, &found);
  return found;
}

}  // namespace uzswap::cli
