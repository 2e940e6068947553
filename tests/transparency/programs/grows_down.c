// grows_down MIB: a mapping that grows downwards (MAP_GROWSDOWN) while it is used, to a size above
// the limit.
#include <sys/resource.h>

#include "working_set.h"

int main(int count, char** words) {
  const size_t bytes = Number(count, words, 1) * kMiB;
  // The kernel holds such a mapping to RLIMIT_STACK.
  struct rlimit stack;
  if (getrlimit(RLIMIT_STACK, &stack) != 0) Fail("getrlimit failed");
  stack.rlim_cur = stack.rlim_max < 4 * bytes ? stack.rlim_max : 4 * bytes;
  if (setrlimit(RLIMIT_STACK, &stack) != 0) Fail("setrlimit failed");
  // Far from other mappings: there has to be room below.
  char* volatile place = (char*)0x300000000000;
  char* top = place;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN;
  if (mmap(top - kPage, kPage, PROT_READ | PROT_WRITE, flags, -1, 0) != top - kPage) {
    Fail("mmap failed");
  }
  const size_t pages = bytes / kPage;
  for (size_t p = 1; p <= pages; ++p) FillPage(top - p * kPage, 1, p);
  AwaitEviction(top - bytes, bytes);
  size_t wrong = 0;
  for (int round = 0; round < 3; ++round) {
    for (size_t p = 1; p <= pages; ++p) wrong += (size_t)IsWrong(top - p * kPage, 1, p);
  }
  return Verdict(wrong);
}
