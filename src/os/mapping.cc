#include "os/mapping.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/mutex.h"
#include "os/own_address.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

Mutex g_own_mutex(LockRank::kLeaf);
OwnRange g_own[kOwnRangesMax] UZ_GUARDED_BY(g_own_mutex);
int g_own_count UZ_GUARDED_BY(g_own_mutex) = 0;

bool AddOwn(uint64_t start, uint64_t end, MappingPurpose purpose) UZ_EXCLUDES(g_own_mutex) {
  // The handler of a signal may create a mapping (library/sigbus_handler.h).
  const BlockedSignals blocked;
  MutexLock lock(g_own_mutex);
  if (g_own_count == kOwnRangesMax) return false;
  g_own[g_own_count++] = {start, end, purpose, false};
  return true;
}

void RemoveOwn(uint64_t start) UZ_EXCLUDES(g_own_mutex) {
  // The handler of a signal may create a mapping (library/sigbus_handler.h).
  const BlockedSignals blocked;
  MutexLock lock(g_own_mutex);
  for (int i = 0; i < g_own_count; ++i) {
    if (g_own[i].start != start) continue;
    g_own[i] = g_own[--g_own_count];
    return;
  }
  Panic(__FILE__, __LINE__, "a mapping is not in the list of own ranges");
}

void MarkSecret(uint64_t start) UZ_EXCLUDES(g_own_mutex) {
  MutexLock lock(g_own_mutex);
  for (int i = 0; i < g_own_count; ++i) {
    if (g_own[i].start == start) g_own[i].secret = true;
  }
}

// Without the guards, which cannot be locked. Sanitizers make nothing of mlock, so it is a system
// call.
bool LockInside(uint64_t start, uint64_t end) {
  return syscall(SYS_mlock, start + kPageSize, end - start - 2 * kPageSize) == 0;
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept { *this = std::move(other); }

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(accessible_, other.accessible_);
  std::swap(outer_, other.outer_);
  std::swap(outer_size_, other.outer_size_);
  return *this;
}

Mapping::~Mapping() {
  if (outer_ == nullptr) return;
  RemoveOwn(reinterpret_cast<uint64_t>(outer_));
  UZ_CHECK_EQ(munmap(outer_, outer_size_), 0);
}

Result<Mapping> Mapping::Create(Bytes size, const char* what, size_t alignment,
                                MappingPurpose purpose) {
  Result<Mapping> reserved = Reserve(size, what, alignment, purpose);
  if (!reserved.ok()) return reserved;
  if (!reserved.value().MakeAccessible(reserved.value().size())) return Error{errno, what};
  return reserved;
}

Result<Mapping> Mapping::Reserve(Bytes size, const char* what, size_t alignment,
                                 MappingPurpose purpose) {
  UZ_CHECK(alignment >= kPageSize && (alignment & (alignment - 1)) == 0);
  const size_t inner = RoundUpToPage(size.raw());
  const size_t outer = inner + 2 * kPageSize + (alignment - kPageSize);
  void* raw = mmap(NextOwnAddress(outer), outer, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return Error{errno, what};
  // After mlockall(MCL_FUTURE) the mapping is locked, and what becomes accessible would be
  // populated.
  munlock(raw, outer);
  madvise(raw, outer, MADV_DONTDUMP);

  Mapping mapping;
  mapping.outer_ = static_cast<std::byte*>(raw);
  mapping.outer_size_ = outer;
  const auto start = reinterpret_cast<uint64_t>(raw);
  if (!AddOwn(start, start + outer, purpose)) {
    munmap(raw, outer);
    mapping.outer_ = nullptr;
    return Error{ENOMEM, "the list of own ranges is full"};
  }
  const uint64_t first = start + kPageSize;
  const uint64_t aligned = (first + alignment - 1) & ~(alignment - 1);
  mapping.data_ = reinterpret_cast<std::byte*>(aligned);
  mapping.size_ = inner;
  return mapping;
}

bool Mapping::MakeAccessible(size_t bytes) {
  UZ_CHECK_LE(bytes, size_);
  if (bytes <= accessible_) return true;
  const size_t step = std::clamp(accessible_, kGrowthMin, kGrowthMax);
  const size_t wanted = RoundUpToPage(std::max(bytes, std::min(accessible_ + step, size_)));
  std::byte* const from = data_ + accessible_;
  if (mprotect(from, wanted - accessible_, PROT_READ | PROT_WRITE) != 0) return false;
  accessible_ = wanted;
  return true;
}

void Mapping::Discard(size_t offset, size_t length) {
  UZ_CHECK_LE(offset + length, size_);
  if (madvise(data_ + offset, length, MADV_DONTNEED) == 0) return;
  // The program has locked all its memory (mlockall), so also this.
  munlock(data_ + offset, length);
  UZ_CHECK_EQ(madvise(data_ + offset, length, MADV_DONTNEED), 0);
}

void Mapping::Protect(size_t offset, size_t length, bool accessible) {
  UZ_CHECK_LE(offset + length, size_);
  const int protection = accessible ? PROT_READ | PROT_WRITE : PROT_NONE;
  UZ_CHECK_EQ(mprotect(data_ + offset, length, protection), 0);
}

Result<void> Mapping::KeepFromChildren() {
  if (syscall(SYS_madvise, data_, size_, MADV_DONTFORK) == 0) return {};
  return Error{errno, "madvise(MADV_DONTFORK)"};
}

void Mapping::WipeInChildren() const {
  static_cast<void>(syscall(SYS_madvise, data_, size_, MADV_WIPEONFORK));
}

void Mapping::ForbidHugePages() {
  // EINVAL: the kernel was built without huge pages.
  if (size_ != 0 && madvise(data_, size_, MADV_NOHUGEPAGE) != 0) UZ_CHECK_EQ(errno, EINVAL);
}

bool Mapping::LockOnFault() const { return syscall(SYS_mlock2, data_, size_, MLOCK_ONFAULT) == 0; }

void Mapping::KeepSecret() {
  UZ_CHECK_EQ(outer_size_, accessible_ + 2 * kPageSize);
  const auto start = reinterpret_cast<uint64_t>(outer_);
  MarkSecret(start);
  static_cast<void>(LockInside(start, start + outer_size_));
}

void PopulateWrite(uint64_t start, uint64_t length) {
  constexpr int kPopulateWrite = 23;  // Linux 5.14
  madvise(reinterpret_cast<void*>(start), length, kPopulateWrite);
}

void UnlockOwnRanges() {
  std::optional<OwnRange> range = NextOwnRange(0);
  for (; range; range = NextOwnRange(range->end)) {
    if (range->purpose == MappingPurpose::kNotOurs || range->secret) continue;
    // ENOMEM: the mapping has gone meanwhile.
    syscall(SYS_munlock, range->start, range->end - range->start);
  }
}

uint32_t LockSecrets() {
  uint32_t refused = 0;
  std::optional<OwnRange> range = NextOwnRange(0);
  for (; range; range = NextOwnRange(range->end)) {
    if (range->secret && !LockInside(range->start, range->end)) ++refused;
  }
  return refused;
}

Result<void> NoteOwnRange(AddressRange range) {
  if (!AddOwn(range.start, range.end, MappingPurpose::kNotOurs))
    return Error{ENOMEM, "the list of own ranges is full"};
  return {};
}

bool IsOwnRange(AddressRange range) {
  MutexLock lock(g_own_mutex);
  for (int i = 0; i < g_own_count; ++i) {
    if (range.start < g_own[i].end && g_own[i].start < range.end) return true;
  }
  return false;
}

std::optional<OwnRange> NextOwnRange(uint64_t address) {
  MutexLock lock(g_own_mutex);
  std::optional<OwnRange> next;
  for (int i = 0; i < g_own_count; ++i) {
    if (g_own[i].start < address) continue;
    if (!next || g_own[i].start < next->start) next = g_own[i];
  }
  return next;
}

}  // namespace uzswap::os
