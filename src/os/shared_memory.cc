#include "os/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "os/own_address.h"
#include "os/text_line.h"

namespace uzswap::os {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

SharedMemory::SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) UZ_CHECK_EQ(munmap(data_, size_), 0);
  if (descriptor_ >= 0) close(descriptor_);
}

Result<SharedMemory> SharedMemory::Map(int descriptor, size_t size, int flags) {
  void* raw = mmap(NextOwnAddress(size), size, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (raw == MAP_FAILED) return Error{errno, "mmap of shared memory"};
  SharedMemory memory;
  memory.data_ = static_cast<std::byte*>(raw);
  memory.size_ = size;
  return memory;
}

Result<int> SharedMemory::CreateFile(const char* name, Bytes size) {
  const size_t rounded = RoundUpToPage(size.raw());
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Error{errno, "memfd_create"};
  if (ftruncate(fd, static_cast<off_t>(rounded)) != 0 || fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    const int failure = errno;
    close(fd);
    return Error{failure, "sizing and sealing shared memory"};
  }
  return fd;
}

Result<SharedMemory> SharedMemory::Create(const char* name, Bytes size) {
  const Result<int> file = CreateFile(name, size);
  if (!file.ok()) return file.error();
  Result<SharedMemory> memory = Map(file.value(), RoundUpToPage(size.raw()), MAP_SHARED);
  if (memory.ok()) {
    memory.value().descriptor_ = file.value();
  } else {
    close(file.value());
  }
  return memory;
}

Result<SharedMemory> SharedMemory::CreatePrivate(Bytes size) {
  return Map(-1, RoundUpToPage(size.raw()), MAP_SHARED | MAP_ANONYMOUS);
}

Result<SharedMemory> SharedMemory::OpenPath(const char* path, Bytes size) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return Error{errno, "open of shared memory"};
  return FromDescriptor(fd, size);
}

bool SharedMemory::IsSealedFile(int fd, Bytes size) {
  struct stat status = {};
  if (fstat(fd, &status) != 0) return false;
  if (static_cast<uint64_t>(status.st_size) != RoundUpToPage(size.raw())) return false;
  const int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & kSeals) == kSeals;
}

Result<SharedMemory> SharedMemory::FromDescriptor(int fd, Bytes size) {
  Result<SharedMemory> memory =
      IsSealedFile(fd, size) ? Map(fd, RoundUpToPage(size.raw()), MAP_SHARED)
                             : Result<SharedMemory>(Error{EPROTO, "not shared memory of uzswap"});
  close(fd);
  return memory;
}

// A write lease is granted only if no other open file of this inode can be written to. A mapping
// keeps the open file that it was made from. The file that memfd_create returned does not count.
OtherUsers SharedMemory::FindOtherUsers() const {
  if (descriptor_ < 0) return OtherUsers::kUnknown;
  TextLine<64> path;
  path.Text("/proc/self/fd/").Decimal(static_cast<uint64_t>(descriptor_));
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return OtherUsers::kUnknown;
  OtherUsers users = OtherUsers::kNone;
  // Who opens the memory now is told of the lease's end by a signal, and waits. SIGIO would end
  // this process; SIGURG is ignored.
  fcntl(fd, F_SETSIG, SIGURG);
  if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
    users = errno == EAGAIN ? OtherUsers::kSome : OtherUsers::kUnknown;
  }
  close(fd);  // ends the lease
  return users;
}

}  // namespace uzswap::os
