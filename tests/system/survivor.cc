// survivor: a program that outlives the loss of its pages.
//
//   survivor MIB    fills MIB MiB with pages that know their content, says "waiting", reads a line
//                   from standard input, and then looks at every byte of every page
//
// A page that raises SIGBUS is lost; it is discarded (MADV_DONTNEED), written anew and looked at
// again. A system call on a lost page has to fail with EFAULT. The last line is
//
//   right R, lost L, wrong W, renewed N, refused E
//
// and the status 0 exactly if W is 0 and all lost pages were renewed.
#include <fcntl.h>
#include <sys/mman.h>
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

sigjmp_buf g_lost;

void OnLost(int) { siglongjmp(g_lost, 1); }

// Every second word is the page's own, so that a page shrinks to about half and is like no other.
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
  uint64_t lost = 0;
  uint64_t wrong = 0;
  uint64_t renewed = 0;
  uint64_t refused = 0;
};

void Renew(uint64_t* words, uint64_t page, int null, Counts& counts) {
  if (write(null, words, kPage) < 0 && errno == EFAULT) ++counts.refused;
  if (madvise(words, kPage, MADV_DONTNEED) != 0) return;
  Fill(words, page, 2);
  if (IsRight(words, page, 2)) ++counts.renewed;
}

void LookAt(uint64_t* words, uint64_t page, int pipe_end, Counts& counts) {
  if (sigsetjmp(g_lost, 1) != 0) {
    ++counts.lost;
    return Renew(words, page, pipe_end, counts);
  }
  ++(IsRight(words, page, 1) ? counts.right : counts.wrong);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t pages = argc > 1 ? strtoull(argv[1], nullptr, 10) << 8 : 0;
  void* memory = mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int pipe_ends[2];
  if (pages == 0 || memory == MAP_FAILED || pipe(pipe_ends) != 0) return 2;
  // A pipe reads what it is given; the null device would not.
  fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
  auto* words = static_cast<uint64_t*>(memory);
  for (uint64_t page = 0; page < pages; ++page) Fill(words + page * kWords, page, 1);
  struct sigaction action = {};
  action.sa_handler = OnLost;
  sigaction(SIGBUS, &action, nullptr);
  puts("waiting");
  fflush(stdout);
  for (int c = 0; c != '\n';) {
    c = getchar();
    if (c == EOF) return 2;  // the test has gone
  }
  static Counts counts;  // not a register's, across the jump
  for (uint64_t page = 0; page < pages; ++page) {
    LookAt(words + page * kWords, page, pipe_ends[1], counts);
  }
  printf("right %lu, lost %lu, wrong %lu, renewed %lu, refused %lu\n", counts.right, counts.lost,
         counts.wrong, counts.renewed, counts.refused);
  return counts.wrong == 0 && counts.renewed == counts.lost ? 0 : 1;
}
