#include "os/thread_place.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/text_line.h"

namespace uzswap::os {
namespace {

// Empty: the thread has ended, or the file cannot be read. `*gone` tells which.
std::string_view ReadOf(const TaskReader& tasks, uint32_t thread, std::string_view leaf, char* text,
                        size_t size, bool* gone) {
  TextLine<64> path;
  path.Decimal(thread).Text("/").Text(leaf);
  ProcFile file;
  const Result<void> opened = file.OpenAt(tasks.folder(), path.c_str());
  if (!opened.ok()) {
    *gone = opened.error().errno_value == ENOENT;
    return {};
  }
  const long got = syscall(SYS_pread64, file.descriptor(), text, size, 0L);
  if (got < 0) *gone = errno == ESRCH;
  return {text, got > 0 ? static_cast<size_t>(got) : 0};
}

bool StartsWith(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

}  // namespace

ThreadPlace PlaceOf(std::string_view name, std::string_view system_call) {
  if (name.empty() || StartsWith(name, "iou-")) return ThreadPlace::kUncertain;
  // "running", or "NUMBER arguments ...", or "-1 sp pc" where a page fault sleeps.
  if (StartsWith(system_call, "-1 ")) return ThreadPlace::kElsewhere;
  uint64_t number = 0;
  size_t digits = 0;
  for (const char c : system_call) {
    if (c < '0' || c > '9') break;
    number = number * 10 + static_cast<uint64_t>(c - '0');
    if (++digits > 6) return ThreadPlace::kUncertain;
  }
  if (digits == 0 || digits == system_call.size()) return ThreadPlace::kUncertain;
  switch (number) {
    case SYS_madvise:
    case SYS_process_madvise:
    case SYS_io_uring_enter:
      return ThreadPlace::kUncertain;
    default:
      return ThreadPlace::kElsewhere;
  }
}

ThreadPlace LookAtThread(const TaskReader& tasks, uint32_t thread) {
  char name[32];
  char system_call[256];
  bool gone = false;
  const std::string_view comm = ReadOf(tasks, thread, "comm", name, sizeof(name), &gone);
  if (gone) return ThreadPlace::kGone;
  const std::string_view call =
      ReadOf(tasks, thread, "syscall", system_call, sizeof(system_call), &gone);
  if (gone) return ThreadPlace::kGone;
  return PlaceOf(comm, call);
}

}  // namespace uzswap::os
