// room WHICH LIMIT MIB: has a budget of address space (as) or of data (data) of LIMIT MiB, fills a
// set of MIB, and then uses the rest of its budget but 64 MiB. WHICH ends with ":set" where the
// program sets the limit itself; otherwise the caller has set it.
#include <sys/resource.h>

#include "working_set.h"

int main(int count, char** words) {
  const char* which = Word(count, words, 1);
  const size_t limit = Number(count, words, 2) * kMiB;
  const size_t bytes = Number(count, words, 3) * kMiB;
  const int resource = strncmp(which, "as", 2) == 0 ? RLIMIT_AS : RLIMIT_DATA;
  if (strstr(which, ":set") != NULL) {
    const struct rlimit budget = {limit, limit};
    if (setrlimit(resource, &budget) != 0) Fail("setrlimit failed");
  }
  struct rlimit now;
  if (getrlimit(resource, &now) != 0 || now.rlim_cur != limit) Fail("the limit is another one");
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  const size_t rest = limit - bytes - 64 * (size_t)kMiB;
  // Writable, so that both limits count it; it is not touched.
  void* room =
      mmap(NULL, rest, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  printf("the rest of the budget: %s\n", room == MAP_FAILED ? "refused" : "granted");
  return Verdict(Sweep(set, bytes, 1, 2) + (room == MAP_FAILED));
}
