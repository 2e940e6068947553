#include "os/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "os/shared_memory.h"

namespace uzswap::os {

MemoryFile::MemoryFile(MemoryFile&& other) noexcept { *this = std::move(other); }

MemoryFile& MemoryFile::operator=(MemoryFile&& other) noexcept {
  std::swap(range_, other.range_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

MemoryFile::~MemoryFile() { Close(); }

Result<MemoryFile> MemoryFile::Reserve(Bytes size, const char* what) {
  Result<Mapping> range = Mapping::Reserve(size, what, kPageSize, MappingPurpose::kShared);
  if (!range.ok()) return range.error();
  MemoryFile file;
  file.range_ = std::move(range).value();
  return file;
}

Result<void> MemoryFile::Open(const char* name) {
  UZ_CHECK(!is_open() && !range_.empty());
  const Result<int> file = SharedMemory::CreateFile(name, Bytes(size()));
  if (!file.ok()) return file.error();
  // In the place of the reservation: no address space is taken while the program runs.
  const void* const mapped =
      mmap(range_.data(), size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.value(), 0);
  if (mapped == MAP_FAILED) {
    const int failure = errno;
    close(file.value());
    MakeInaccessible();
    return Error{failure, "mmap of shared memory"};
  }
  // After mlockall(MCL_FUTURE) the mapping is locked.
  munlock(range_.data(), size());
  madvise(range_.data(), size(), MADV_DONTDUMP);
  descriptor_ = file.value();
  return {};
}

std::byte* MemoryFile::data() const {
  UZ_DCHECK(is_open());
  return range_.data();
}

// If the kernel refuses (mlockall and RLIMIT_MEMLOCK), the file stays mapped until the next Open.
void MemoryFile::MakeInaccessible() {
  void* const mapped = mmap(range_.data(), size(), PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (mapped == MAP_FAILED) return;
  munlock(mapped, size());
  madvise(mapped, size(), MADV_DONTDUMP);
}

void MemoryFile::Close() {
  if (!is_open()) return;
  // Closing is not enough: the other process may have the file, and never end.
  fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size()));
  close(descriptor_);
  Forget();
}

void MemoryFile::Forget() {
  if (!is_open()) return;
  descriptor_ = -1;
  MakeInaccessible();
}

}  // namespace uzswap::os
