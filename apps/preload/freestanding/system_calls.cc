// System calls under the names and with the interface of the C library.
//
// The prototypes are written out, because the headers of the C library declare these functions with
// attributes that a definition would have to repeat. Variadic functions are defined with fixed
// parameters. On x86-64 a variadic call passes integers in the same registers.
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#include "raw_syscall.h"

namespace {

using uzswap::freestanding::Checked;
using uzswap::freestanding::RawSyscall;

// Every thread of the program has it, because the library is loaded at the start. For the engine's
// threads see os/thread.h. The program's errno stays as it is.
thread_local int t_errno = 0;

constexpr int kCurrentDirectory = -100;
constexpr int kPageSizeName = 30;  // _SC_PAGESIZE
constexpr int kPageBytes = 4096;
constexpr int kErrnoMax = 4095;
constexpr int kNotSupported = 38;  // ENOSYS
constexpr int kExists = 17;        // EEXIST

long Long(const void* pointer) { return reinterpret_cast<long>(pointer); }

template <typename... Arguments>
long Call(long number, Arguments... arguments) {
  return Checked(RawSyscall(number, arguments...));
}
template <typename... Arguments>
int CallInt(long number, Arguments... arguments) {
  return static_cast<int>(Call(number, arguments...));
}

}  // namespace

namespace uzswap::freestanding {

long Checked(long result) {
  if (result >= 0 || result < -kErrnoMax) return result;
  t_errno = static_cast<int>(-result);
  return -1;
}

}  // namespace uzswap::freestanding

extern "C" {

int* __errno_location() { return &t_errno; }

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
  return Call(number, a, b, c, d, e, f);
}

// --- Files ---

int open(const char* path, int flags, unsigned mode) {
  return CallInt(SYS_openat, kCurrentDirectory, Long(path), flags, mode);
}
int openat(int folder, const char* path, int flags, unsigned mode) {
  return CallInt(SYS_openat, folder, Long(path), flags, mode);
}
int close(int file) { return CallInt(SYS_close, file); }
long read(int file, void* to, size_t length) {
  return Call(SYS_read, file, Long(to), static_cast<long>(length));
}
long write(int file, const void* from, size_t length) {
  return Call(SYS_write, file, Long(from), static_cast<long>(length));
}
long pread(int file, void* to, size_t length, long offset) {
  return Call(SYS_pread64, file, Long(to), static_cast<long>(length), offset);
}
long pwrite(int file, const void* from, size_t length, long offset) {
  return Call(SYS_pwrite64, file, Long(from), static_cast<long>(length), offset);
}
int fcntl(int file, int command, long argument) {
  return CallInt(SYS_fcntl, file, command, argument);
}
int ioctl(int file, unsigned long request, long argument) {
  return CallInt(SYS_ioctl, file, static_cast<long>(request), argument);
}
int flock(int file, int operation) { return CallInt(SYS_flock, file, operation); }
int ftruncate(int file, long length) { return CallInt(SYS_ftruncate, file, length); }
int fallocate(int file, int mode, long offset, long length) {
  return CallInt(SYS_fallocate, file, mode, offset, length);
}
int fsync(int file) { return CallInt(SYS_fsync, file); }
int fdatasync(int file) { return CallInt(SYS_fdatasync, file); }
int fstat(int file, void* status) { return CallInt(SYS_fstat, file, Long(status)); }
int stat(const char* path, void* status) {
  return CallInt(SYS_newfstatat, kCurrentDirectory, Long(path), Long(status), 0);
}
int statx(int folder, const char* path, int flags, unsigned mask, void* status) {
  return CallInt(SYS_statx, folder, Long(path), flags, mask, Long(status));
}
int access(const char* path, int mode) {
  return CallInt(SYS_faccessat, kCurrentDirectory, Long(path), mode);
}
int unlink(const char* path) { return CallInt(SYS_unlink, Long(path)); }
long fgetxattr(int file, const char* name, void* value, size_t size) {
  return Call(SYS_fgetxattr, file, Long(name), Long(value), static_cast<long>(size));
}
int memfd_create(const char* name, unsigned flags) {
  return CallInt(SYS_memfd_create, Long(name), flags);
}
int poll(void* files, unsigned long count, int timeout_ms) {
  return CallInt(SYS_poll, Long(files), static_cast<long>(count), timeout_ms);
}
int dup3(int from, int to, int flags) { return CallInt(SYS_dup3, from, to, flags); }
int pipe2(int* files, int flags) { return CallInt(SYS_pipe2, Long(files), flags); }

// --- Sockets ---

int socket(int domain, int type, int protocol) {
  return CallInt(SYS_socket, domain, type, protocol);
}
int socketpair(int domain, int type, int protocol, int* files) {
  return CallInt(SYS_socketpair, domain, type, protocol, Long(files));
}
int connect(int file, const void* address, unsigned length) {
  return CallInt(SYS_connect, file, Long(address), length);
}
int bind(int file, const void* address, unsigned length) {
  return CallInt(SYS_bind, file, Long(address), length);
}
int listen(int file, int backlog) { return CallInt(SYS_listen, file, backlog); }
int accept4(int file, void* address, unsigned* length, int flags) {
  return CallInt(SYS_accept4, file, Long(address), Long(length), flags);
}
int getsockopt(int file, int level, int option, void* value, unsigned* length) {
  return CallInt(SYS_getsockopt, file, level, option, Long(value), Long(length));
}
int setsockopt(int file, int level, int option, const void* value, unsigned length) {
  return CallInt(SYS_setsockopt, file, level, option, Long(value), length);
}
long sendmsg(int file, const void* message, int flags) {
  return Call(SYS_sendmsg, file, Long(message), flags);
}
long recvmsg(int file, void* message, int flags) {
  return Call(SYS_recvmsg, file, Long(message), flags);
}

// --- Memory ---

void* mmap(void* address, size_t length, int protection, int flags, int file, long offset) {
  return reinterpret_cast<void*>(
      Call(SYS_mmap, Long(address), static_cast<long>(length), protection, flags, file, offset));
}
int munmap(void* address, size_t length) {
  return CallInt(SYS_munmap, Long(address), static_cast<long>(length));
}
int mprotect(void* address, size_t length, int protection) {
  return CallInt(SYS_mprotect, Long(address), static_cast<long>(length), protection);
}
int madvise(void* address, size_t length, int advice) {
  return CallInt(SYS_madvise, Long(address), static_cast<long>(length), advice);
}
void* __wrap_mremap(void* address, size_t from, size_t to, int flags, void* target) {
  return reinterpret_cast<void*>(Call(SYS_mremap, Long(address), static_cast<long>(from),
                                      static_cast<long>(to), flags, Long(target)));
}
int mlock(const void* address, size_t length) {
  return CallInt(SYS_mlock, Long(address), static_cast<long>(length));
}
int munlock(const void* address, size_t length) {
  return CallInt(SYS_munlock, Long(address), static_cast<long>(length));
}

// --- Processes and the machine ---

int getpid() { return CallInt(SYS_getpid); }
int getppid() { return CallInt(SYS_getppid); }
int gettid() { return CallInt(SYS_gettid); }
unsigned getuid() { return static_cast<unsigned>(CallInt(SYS_getuid)); }
unsigned geteuid() { return static_cast<unsigned>(CallInt(SYS_geteuid)); }
unsigned getgid() { return static_cast<unsigned>(CallInt(SYS_getgid)); }
unsigned getegid() { return static_cast<unsigned>(CallInt(SYS_getegid)); }
int kill(int process, int signal) { return CallInt(SYS_kill, process, signal); }
int prctl(int option, long a, long b, long c, long d) {
  return CallInt(SYS_prctl, option, a, b, c, d);
}
int __wrap_getrlimit(int resource, void* limit) {
  return CallInt(SYS_getrlimit, resource, Long(limit));
}
int sched_yield() { return CallInt(SYS_sched_yield); }
int uname(void* names) { return CallInt(SYS_uname, Long(names)); }
int sysinfo(void* information) { return CallInt(SYS_sysinfo, Long(information)); }
long sysconf(int name) {
  if (name == kPageSizeName) return kPageBytes;
  return Checked(-kNotSupported);
}

// --- Random numbers ---

long getrandom(void* to, size_t length, unsigned flags) {
  return Call(SYS_getrandom, Long(to), static_cast<long>(length), flags);
}
int getentropy(void* to, size_t length) {
  return getrandom(to, length, 0) == static_cast<long>(length) ? 0 : -1;
}
unsigned arc4random() {
  unsigned value = 0;
  getrandom(&value, sizeof(value), 0);
  return value;
}

// `path` ends with XXXXXX, which is replaced.
int mkostemp(char* path, int flags) {
  constexpr int kAttempts = 100;
  constexpr int kLetters = 6;
  constexpr int kCreate = 0100;     // O_CREAT
  constexpr int kExclusive = 0200;  // O_EXCL
  constexpr int kReadWrite = 2;     // O_RDWR
  size_t length = 0;
  while (path[length] != '\0') ++length;
  char* letters = path + length - kLetters;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    unsigned value = arc4random();
    for (int i = 0; i < kLetters; ++i, value /= 26) {
      letters[i] = static_cast<char>('a' + value % 26);
    }
    const long file = RawSyscall(SYS_openat, kCurrentDirectory, Long(path),
                                 flags | kCreate | kExclusive | kReadWrite, 0600);
    if (file != -kExists) return static_cast<int>(Checked(file));
  }
  return static_cast<int>(Checked(-kExists));
}

}  // extern "C"
