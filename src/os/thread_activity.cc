#include "os/thread_activity.h"

#include <sys/syscall.h>

#include <cerrno>
#include <optional>

#include "base/parse_size.h"

namespace uzswap::os {
namespace {

bool HasEnded(const Result<std::string_view>& read) {
  if (read.ok()) return false;
  return read.error().errno_value == ENOENT || read.error().errno_value == ESRCH;
}

// Empty if it cannot be read.
std::string_view TextOf(const Result<std::string_view>& read) {
  return read.ok() ? read.value() : std::string_view();
}

bool StartsWith(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

}  // namespace

ThreadActivity ActivityOf(std::string_view name, std::string_view system_call) {
  if (name.empty() || StartsWith(name, "iou-")) return ThreadActivity::kUncertain;
  // "running", or "NUMBER arguments ...", or "-1 sp pc" where a page fault sleeps.
  if (StartsWith(system_call, "-1 ")) return ThreadActivity::kElsewhere;
  const size_t blank = system_call.find(' ');
  if (blank == std::string_view::npos) return ThreadActivity::kUncertain;
  constexpr uint64_t kNumberMax = 999'999;  // far more than there are system calls
  const std::optional<uint64_t> number = ParseDecimal(system_call.substr(0, blank));
  if (!number || *number > kNumberMax) return ThreadActivity::kUncertain;
  switch (*number) {
    case SYS_madvise:
    case SYS_process_madvise:
    case SYS_io_uring_enter:
      return ThreadActivity::kUncertain;
    default:
      return ThreadActivity::kElsewhere;
  }
}

ThreadActivity LookAtThread(const TaskReader& tasks, uint32_t thread) {
  char name[32];
  char system_call[256];
  const Result<std::string_view> comm = tasks.ReadOf(thread, "comm", name);
  if (HasEnded(comm)) return ThreadActivity::kGone;
  const Result<std::string_view> call = tasks.ReadOf(thread, "syscall", system_call);
  if (HasEnded(call)) return ThreadActivity::kGone;
  return ActivityOf(TextOf(comm), TextOf(call));
}

}  // namespace uzswap::os
