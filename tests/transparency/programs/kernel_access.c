// kernel_access HOW MIB: the kernel reads and writes pages that were swapped out.
//
//   vm-self    process_vm_readv of this process        vm-child   ... of the parent, by its child
//   readv      readv into the set                      write      write from the set
//   direct     O_DIRECT writes and reads               vmsplice   vmsplice into a pipe
//   peek       the program is traced, and its tracer reads every page with PTRACE_PEEKDATA
//   mem        the program reads its own /proc/self/mem
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "working_set.h"

enum { kPart = 64 * kPage };

static char* g_set;
static size_t g_bytes;
static char g_buffer[kPart] __attribute__((aligned(4096)));

static size_t CheckPart(const char* at, size_t offset, uint64_t seed) {
  size_t wrong = 0;
  for (size_t p = 0; p < kPart / kPage; ++p) {
    wrong += (size_t)IsWrong(at + p * kPage, seed, offset / kPage + p);
  }
  return wrong;
}

static void Whole(ssize_t done, const char* what) {
  if (done != kPart) Fail("%s: %zd, errno %d", what, done, done < 0 ? errno : 0);
}

static size_t ReadVm(pid_t process) {
  size_t wrong = 0;
  for (size_t at = 0; at < g_bytes; at += kPart) {
    const struct iovec local = {g_buffer, kPart};
    const struct iovec remote = {g_set + at, kPart};
    Whole(process_vm_readv(process, &local, 1, &remote, 1, 0), "process_vm_readv");
    wrong += CheckPart(g_buffer, at, 1);
  }
  return wrong;
}

static size_t VmChild(void) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) _exit(ReadVm(parent) != 0);
  int status = 0;
  waitpid(child, &status, 0);
  printf("child: status %#x\n", status);
  return status != 0;
}

static int NewFile(int flags) {
  const int file = open("content", O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
  if (file < 0) Fail("content: %s", strerror(errno));
  unlink("content");
  return file;
}

// Writes the whole set to a file and reads it back, with other content, into the set.
static size_t ThroughFile(int flags, int vectors) {
  const int file = NewFile(flags);
  for (size_t at = 0; at < g_bytes; at += kPart) Whole(write(file, g_set + at, kPart), "write");
  Fill(g_set, g_bytes, 2);
  AwaitEviction(g_set, g_bytes);
  for (size_t at = 0; at < g_bytes; at += kPart) {
    struct iovec parts[4];
    for (size_t i = 0; i < 4; ++i) parts[i] = (struct iovec){g_set + at + i * kPart / 4, kPart / 4};
    const off_t offset = (off_t)at;
    Whole(vectors ? preadv(file, parts, 4, offset) : pread(file, g_set + at, kPart, offset),
          "read");
  }
  close(file);
  return Sweep(g_set, g_bytes, 1, 2);
}

static size_t Vmsplice(void) {
  int ends[2];
  if (pipe(ends) != 0) Fail("pipe failed");
  fcntl(ends[1], F_SETPIPE_SZ, kPart);
  size_t wrong = 0;
  for (size_t at = 0; at < g_bytes;) {
    const struct iovec part = {g_set + at, kPage};
    if (vmsplice(ends[1], &part, 1, 0) != kPage) Fail("vmsplice: errno %d", errno);
    for (size_t got = 0; got < kPage;) {
      const ssize_t size = read(ends[0], g_buffer + got, kPage - got);
      if (size <= 0) Fail("read of the pipe failed");
      got += (size_t)size;
    }
    wrong += (size_t)IsWrong(g_buffer, 1, at / kPage);
    at += kPage;
  }
  return wrong;
}

static size_t Mem(void) {
  const int file = open("/proc/self/mem", O_RDONLY);
  if (file < 0) Fail("/proc/self/mem: %s", strerror(errno));
  size_t wrong = 0;
  for (size_t at = 0; at < g_bytes; at += kPart) {
    Whole(pread(file, g_buffer, kPart, (off_t)(uintptr_t)(g_set + at)), "read of /proc/self/mem");
    wrong += CheckPart(g_buffer, at, 1);
  }
  close(file);
  return wrong;
}

static size_t Peek(void) {
  // The tracer is made first: it has nothing of the set.
  int number[2];
  if (pipe(number) != 0) Fail("pipe failed");
  fflush(stdout);
  const pid_t child = fork();
  if (child < 0) Fail("fork failed");
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    g_set = MapSet(g_bytes, 1);
    AwaitEviction(g_set, g_bytes);
    if (write(number[1], &g_set, sizeof g_set) != sizeof g_set) _exit(9);
    raise(SIGSTOP);
    _exit(Check(g_set, g_bytes, 1) != 0);
  }
  int status = 0;
  close(number[1]);
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) Fail("the traced child did not stop: status %#x", status);
  if (read(number[0], &g_set, sizeof g_set) != sizeof g_set) Fail("no address");
  size_t wrong = 0;
  for (size_t p = 0; p < g_bytes / kPage; ++p) {
    errno = 0;
    const long word = ptrace(PTRACE_PEEKDATA, child, g_set + p * kPage, 0);
    wrong += errno != 0 || (uint64_t)word != WordOf(1, p, 0);
  }
  ptrace(PTRACE_CONT, child, 0, 0);
  waitpid(child, &status, 0);
  printf("the traced child: status %#x\n", status);
  return wrong + (status != 0);
}

int main(int count, char** words) {
  const char* how = Word(count, words, 1);
  g_bytes = Number(count, words, 2) * kMiB;
  if (Is(how, "peek")) return Verdict(Peek());
  g_set = MapSet(g_bytes, 1);
  AwaitEviction(g_set, g_bytes);
  if (Is(how, "vm-self")) return Verdict(ReadVm(getpid()));
  if (Is(how, "vm-child")) return Verdict(VmChild());
  if (Is(how, "readv")) return Verdict(ThroughFile(0, 1));
  if (Is(how, "write")) return Verdict(ThroughFile(0, 0));
  if (Is(how, "direct")) return Verdict(ThroughFile(O_DIRECT, 0));
  if (Is(how, "vmsplice")) return Verdict(Vmsplice());
  if (Is(how, "mem")) return Verdict(Mem());
  Fail("unknown: %s", how);
}
