#include "os/open_fallback.h"

#include <atomic>
#include <cerrno>

namespace uzswap::os {
namespace {

// Relaxed: installed before the threads that read it exist.
std::atomic<OpenFallback> g_fallback{nullptr};

}  // namespace

void SetOpenFallback(OpenFallback function) {
  g_fallback.store(function, std::memory_order_relaxed);
}

int OpenByFallback(NeededFile file, int open_errno) {
  // ESRCH: the root is a folder of a process that has ended, as in the sandbox of Chromium.
  const bool hidden = open_errno == ENOENT || open_errno == ESRCH;
  if (!hidden && open_errno != EACCES && open_errno != EPERM) return -1;
  const OpenFallback function = g_fallback.load(std::memory_order_relaxed);
  return function == nullptr ? -1 : function(file);
}

}  // namespace uzswap::os
