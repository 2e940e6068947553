// History: the last operations of each thread, and the report of a wrong byte.
//
// One ring of operations per thread, in shared memory: a pager for private memory never touches
// it, and the entries of a forked child are visible to its parent.
#ifndef UZSWAP_TESTS_SYSTEM_CHURN_HISTORY_H_
#define UZSWAP_TESTS_SYSTEM_CHURN_HISTORY_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "system/churn/pattern.h"

namespace uzswap::churn {

inline constexpr uint32_t kThreadsMax = 64;

struct Operation {
  uint64_t time_ns;
  const char* what;
  uint32_t region;
  uint32_t first;
  uint32_t count;
  uint32_t version;
  pid_t pid;
};

struct ThreadHistory {
  static constexpr size_t kEntries = size_t{1} << 14;
  std::atomic<uint64_t> next;            // written by its thread and its children
  std::atomic<uint64_t> operations;      // whole operations, for the watchdog and the last line
  std::atomic<const char*> in_progress;  // nullptr between operations
  Operation entries[kEntries];
};

// Must be called once before the threads exist.
void CreateHistory();
ThreadHistory& HistoryOf(uint32_t thread);

// The thread whose history takes Note()s; inherited by a forked child.
void SetCurrentThread(uint32_t thread);

void Note(const char* what, uint32_t region, uint32_t first, uint32_t count, uint32_t version);

// Operations that the kernel refused for a valid reason. They are counted, and are no failure.
void CountDeclined();
uint64_t Declined();

// The failures. Each prints the seed line and its findings, and exits with status 1.
void SetBanner(const char* banner);
[[noreturn]] void FailPage(const char* where, uint32_t region, uint32_t page,
                           const std::byte* address, const PageImage& expected,
                           const PageImage& found);
[[noreturn]] void FailBytes(const char* where, uint64_t tag, const std::byte* address,
                            size_t offset, size_t length);
// A SIGSEGV that no operation expects; `code` is its si_code.
[[noreturn]] void FailAccess(const void* address, int code);
// A system call failed that must not fail; `what` names it.
[[noreturn]] void FailCall(const char* what);
[[noreturn]] void Fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace uzswap::churn

#endif  // UZSWAP_TESTS_SYSTEM_CHURN_HISTORY_H_
