// survivor: a program that handles SIGBUS for poisoned pages.
//
//   survivor MIB    fills MIB MiB with pages of known content, prints "waiting", reads a line from
//                   standard input, and then checks every byte of every page
//
// A page that raises SIGBUS is poisoned. It is discarded (MADV_DONTNEED), written and checked
// again. A system call on a poisoned page has to fail with EFAULT. The last line is
//
//   right R, poisoned P, wrong W, rewritten N, refused E
//
// and the status is 0 if and only if W is 0 and all poisoned pages were rewritten.
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kWords = kPage / sizeof(uint64_t);

sigjmp_buf g_poisoned;

void OnPoisoned(int) { siglongjmp(g_poisoned, 1); }

// Every second word depends on the page, so that a page compresses to about half of its size and no
// two pages are equal.
uint64_t WordOf(uint64_t page, uint64_t version, size_t i) {
  if (i % 2 == 0) return version;
  uint64_t word = (page * kWords + i) * 0x9e3779b97f4a7c15 + version;
  word ^= word >> 29;
  return word * 0xbf58476d1ce4e5b9;
}

void Fill(volatile uint64_t* words, uint64_t page, uint64_t version) {
  for (size_t i = 0; i < kWords; ++i) words[i] = WordOf(page, version, i);
}

bool IsRight(const volatile uint64_t* words, uint64_t page, uint64_t version) {
  for (size_t i = 0; i < kWords; ++i) {
    if (words[i] != WordOf(page, version, i)) return false;
  }
  return true;
}

struct Counts {
  uint64_t right = 0;
  uint64_t poisoned = 0;
  uint64_t wrong = 0;
  uint64_t rewritten = 0;
  uint64_t refused = 0;
};

void Rewrite(uint64_t* words, uint64_t page, int socket, Counts& counts) {
  if (write(socket, words, kPage) < 0 && errno == EFAULT) ++counts.refused;
  if (madvise(words, kPage, MADV_DONTNEED) != 0) return;
  Fill(words, page, 2);
  if (IsRight(words, page, 2)) ++counts.rewritten;
}

void CheckPage(uint64_t* words, uint64_t page, int socket, Counts& counts) {
  if (sigsetjmp(g_poisoned, 1) != 0) {
    ++counts.poisoned;
    return Rewrite(words, page, socket, counts);
  }
  ++(IsRight(words, page, 1) ? counts.right : counts.wrong);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t pages = argc > 1 ? strtoull(argv[1], nullptr, 10) << 8 : 0;
  void* memory = mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  // A datagram copies the bytes, so the kernel reads the page; the null device does not. A write
  // that is refused queues nothing, however many there are; it takes a buffer of a pipe.
  int sockets[2];
  if (pages == 0 || memory == MAP_FAILED) return 2;
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets) != 0) return 2;
  auto* words = static_cast<uint64_t*>(memory);
  for (uint64_t page = 0; page < pages; ++page) Fill(words + page * kWords, page, 1);
  struct sigaction action = {};
  action.sa_handler = OnPoisoned;
  sigaction(SIGBUS, &action, nullptr);
  puts("waiting");
  fflush(stdout);
  for (int c = 0; c != '\n';) {
    c = getchar();
    if (c == EOF) return 2;  // the test has gone
  }
  static Counts counts;  // static: siglongjmp does not restore it
  for (uint64_t page = 0; page < pages; ++page) {
    CheckPage(words + page * kWords, page, sockets[0], counts);
  }
  printf("right %lu, poisoned %lu, wrong %lu, rewritten %lu, refused %lu\n", counts.right,
         counts.poisoned, counts.wrong, counts.rewritten, counts.refused);
  return counts.wrong == 0 && counts.rewritten == counts.poisoned ? 0 : 1;
}
