#include "system/churn/history.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace uzswap::churn {
namespace {

ThreadHistory* g_history = nullptr;
thread_local uint32_t t_thread = 0;
char g_banner[512];
std::atomic<bool> g_failing{false};
std::atomic<uint64_t> g_declined{0};

uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

// Written to the descriptor directly: the state of stdio may lie in damaged memory.
void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));
void Say(const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  const size_t size = std::min(static_cast<size_t>(std::max(length, 0)), sizeof(line) - 1);
  if (write(STDERR_FILENO, line, size) < 0) return;
}

// Only the first failing thread of a process reports. The others wait for the exit of the process;
// if it does not come, the watchdog aborts.
void BeginReport() {
  if (g_failing.exchange(true)) {
    while (true) pause();
  }
  Say("churn: FAILED %s\n  pid %d thread %u\n", g_banner, getpid(), t_thread);
}

[[noreturn]] void EndReport() {
  if (std::getenv("CHURN_ABORT") != nullptr) abort();
  _exit(1);
}

void SayOperation(uint64_t now, uint32_t thread, const Operation& op) {
  Say("  -%10.3f ms  pid %d thread %u  %-18s region %u pages [%u, %u) version %u\n",
      static_cast<double>(now - op.time_ns) / 1e6, op.pid, thread, op.what, op.region, op.first,
      op.first + op.count, op.version);
}

// The operations of every thread that touched the page, oldest first within a thread.
void SayHistoryOf(uint32_t region, uint32_t page) {
  constexpr size_t kShownMax = 40;
  const uint64_t now = NowNs();
  for (uint32_t thread = 0; thread < kThreadsMax; ++thread) {
    const ThreadHistory& history = g_history[thread];
    const uint64_t end = history.next.load();
    const uint64_t begin = end > ThreadHistory::kEntries ? end - ThreadHistory::kEntries : 0;
    uint64_t touching[kShownMax];
    size_t shown = 0;
    for (uint64_t i = end; i > begin && shown < kShownMax; --i) {
      const Operation& op = history.entries[(i - 1) % ThreadHistory::kEntries];
      if (op.region != region || page < op.first || page - op.first >= op.count) continue;
      touching[shown++] = i - 1;
    }
    while (shown > 0) {
      SayOperation(now, thread, history.entries[touching[--shown] % ThreadHistory::kEntries]);
    }
  }
}

// The last operations of this thread, whatever they touched.
void SayRecent() {
  constexpr uint64_t kShown = 12;
  const uint64_t now = NowNs();
  const ThreadHistory& history = g_history[t_thread];
  const char* doing = history.in_progress.load();
  Say("  in progress: %s\n", doing == nullptr ? "nothing" : doing);
  const uint64_t end = history.next.load();
  for (uint64_t i = end > kShown ? end - kShown : 0; i < end; ++i) {
    SayOperation(now, t_thread, history.entries[i % ThreadHistory::kEntries]);
  }
}

// The kernel's mappings at and around an address.
void SayMappings(uintptr_t address) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return;
  char line[512];
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    char* end = nullptr;
    const uintptr_t first = std::strtoull(line, &end, 16);
    const uintptr_t last = std::strtoull(end + 1, nullptr, 16);
    constexpr uintptr_t kAround = uintptr_t{1} << 20;
    if (last + kAround > address && first < address + kAround) Say("    %s", line);
  }
  std::fclose(maps);
}

}  // namespace

void CreateHistory() {
  void* memory = mmap(nullptr, sizeof(ThreadHistory) * kThreadsMax, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) FailCall("mmap of the history");
  g_history = static_cast<ThreadHistory*>(memory);
}

ThreadHistory& HistoryOf(uint32_t thread) { return g_history[thread]; }

void SetCurrentThread(uint32_t thread) { t_thread = thread; }

void Note(const char* what, uint32_t region, uint32_t first, uint32_t count, uint32_t version) {
  ThreadHistory& history = g_history[t_thread];
  // A child and its parent may both write here: each takes its own entry.
  const uint64_t at = history.next.fetch_add(1, std::memory_order_relaxed);
  history.entries[at % ThreadHistory::kEntries] = {NowNs(), what,    region,  first,
                                                   count,   version, getpid()};
}

void CountDeclined() { g_declined.fetch_add(1, std::memory_order_relaxed); }
uint64_t Declined() { return g_declined.load(std::memory_order_relaxed); }

void SetBanner(const char* banner) { std::snprintf(g_banner, sizeof(g_banner), "%s", banner); }

void FailPage(const char* where, uint32_t region, uint32_t page, const std::byte* address,
              const PageImage& expected, const PageImage& found) {
  BeginReport();
  char wanted[128];
  char got[128];
  Describe(expected.words, wanted, sizeof(wanted));
  Describe(found.words, got, sizeof(got));
  size_t at = 0;
  size_t different = 0;
  for (size_t i = kPageBytes; i > 0; --i) {
    if (expected.bytes()[i - 1] == found.bytes()[i - 1]) continue;
    at = i - 1;
    ++different;
  }
  PageImage again;
  std::memcpy(again.words, address, kPageBytes);
  const bool healed = std::memcmp(again.words, expected.words, kPageBytes) == 0;
  Say("  address %p (region %u page %u), seen by %s\n", static_cast<const void*>(address), region,
      page, where);
  Say("  %zu bytes differ, the first at offset %zu: expected %02x, found %02x\n", different, at,
      static_cast<unsigned>(expected.bytes()[at]), static_cast<unsigned>(found.bytes()[at]));
  Say("  expected: %s\n  found:    %s\n  read again: %s\n", wanted, got,
      healed ? "now as expected" : "still wrong");
  Say("  history of the page:\n");
  SayHistoryOf(region, page);
  EndReport();
}

void FailBytes(const char* where, uint64_t tag, const std::byte* address, size_t offset,
               size_t length) {
  BeginReport();
  Say("  block at %p, %zu bytes, tag %016lx, seen by %s: wrong from offset %zu (page offset %zu): "
      "found %02x\n",
      static_cast<const void*>(address), length, tag, where, offset,
      (reinterpret_cast<uintptr_t>(address) + offset) % kPageBytes,
      static_cast<unsigned>(address[offset]));
  EndReport();
}

void FailCall(const char* what) {
  const int error = errno;
  BeginReport();
  Say("  %s: %s\n", what, strerrordesc_np(error));
  SayRecent();
  EndReport();
}

void Fail(const char* format, ...) {
  BeginReport();
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  Say("  %s\n", line);
  SayRecent();
  EndReport();
}

void FailAccess(const void* address, int code) {
  BeginReport();
  Say("  SIGSEGV at %p, %s\n", address, code == SEGV_ACCERR ? "no access" : "nothing there");
  SayRecent();
  SayMappings(reinterpret_cast<uintptr_t>(address));
  EndReport();
}

}  // namespace uzswap::churn
