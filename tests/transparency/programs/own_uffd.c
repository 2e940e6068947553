// own_uffd MIB: registers a range with a userfaultfd of its own and serves its faults, beside a set
// that exceeds the limit. (Debian 12 has the header of Linux 6.1, which suffices.)
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "working_set.h"

static int g_uffd;
static char* g_own;
static size_t g_own_bytes;
static atomic_size_t g_served;

static void* Serve(void* unused) {
  static char page[kPage] __attribute__((aligned(4096)));
  struct uffd_msg message;
  while (read(g_uffd, &message, sizeof message) == sizeof message) {
    const uint64_t at = message.arg.pagefault.address / kPage * kPage;
    FillPage(page, 7, (at - (uintptr_t)g_own) / kPage);
    struct uffdio_copy copy = {at, (uintptr_t)page, kPage, 0, 0};
    // Counted before the page is there: the thread that waits for it continues at once.
    ++g_served;
    if (ioctl(g_uffd, UFFDIO_COPY, &copy) != 0) --g_served;
  }
  return unused;
}

int main(int count, char** words) {
  const size_t bytes = Number(count, words, 1) * kMiB;
  g_own_bytes = bytes / 8;
  g_uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
  if (g_uffd < 0) exit(kStatusUnsupported);
  struct uffdio_api api = {UFFD_API, 0, 0};
  if (ioctl(g_uffd, UFFDIO_API, &api) != 0) Fail("UFFDIO_API failed");
  g_own = Map(g_own_bytes, PROT_READ | PROT_WRITE, 0);
  struct uffdio_register range = {{(uintptr_t)g_own, g_own_bytes}, UFFDIO_REGISTER_MODE_MISSING, 0};
  if (ioctl(g_uffd, UFFDIO_REGISTER, &range) != 0) Fail("UFFDIO_REGISTER failed");
  pthread_t server;
  pthread_create(&server, NULL, Serve, NULL);

  size_t wrong = Check(g_own, g_own_bytes / 2, 7);  // the program's own server fills these
  void* set = MapSet(bytes, 1);
  AwaitEviction(set, bytes);
  wrong += Sweep(set, bytes, 1, 2);
  wrong += Check(g_own, g_own_bytes, 7);
  const int each_once = g_served == g_own_bytes / kPage;
  printf("the program's server served %s\n", each_once ? "each page once" : "another number");
  return Verdict(wrong + !each_once);
}
