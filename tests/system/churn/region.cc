#include "system/churn/region.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "system/churn/history.h"

namespace uzswap::churn {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

std::byte* MapFresh(size_t bytes, int protection = kReadWrite) {
  void* memory =
      mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) FailCall("mmap");
  return static_cast<std::byte*>(memory);
}

void Unmap(std::byte* base, size_t bytes) {
  if (munmap(base, bytes) != 0) FailCall("munmap");
}

// mremap needs one kernel mapping. Parts that were first touched at another address, and parts of
// which only some are registered with userfaultfd, do not merge. The kernel then returns EFAULT
// (or EINVAL for MREMAP_DONTUNMAP).
bool IsSplit() {
  const bool split = errno == EFAULT || errno == EINVAL;
  if (split) CountDeclined();
  return split;
}

// Moves a range that may consist of several kernel mappings. Since Linux 6.17 a whole move may
// end with EFAULT after it has moved the first of them: then the rest goes page by page.
void MovePages(std::byte* from, size_t bytes, std::byte* to) {
  if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED) return;
  if (!IsSplit()) FailCall("mremap of a part");
  for (size_t at = 0; at < bytes; at += kPageBytes) {
    void* moved = mremap(from + at, kPageBytes, kPageBytes, MREMAP_MAYMOVE | MREMAP_FIXED, to + at);
    // No mapping: this page has moved with the first.
    if (moved == MAP_FAILED && errno != EFAULT) FailCall("mremap of a page");
  }
}

// The parts of [begin, end) that the kernel has as writable mappings.
std::vector<std::pair<std::byte*, std::byte*>> WritableParts(std::byte* begin, std::byte* end) {
  std::vector<std::pair<std::byte*, std::byte*>> parts;
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) FailCall("/proc/self/maps");
  char line[512];
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    char* next = nullptr;
    auto* first = reinterpret_cast<std::byte*>(std::strtoull(line, &next, 16));
    auto* last = reinterpret_cast<std::byte*>(std::strtoull(next + 1, &next, 16));
    first = std::max(first, begin);
    last = std::min(last, end);
    if (first < last && std::strncmp(next, " rw", 3) == 0) parts.emplace_back(first, last);
  }
  std::fclose(maps);
  return parts;
}

// Undoes a move to a fixed address (an inaccessible reservation) that failed half way: moves the
// pages back and restores the reservation.
void UndoMove(std::byte* old, std::byte* target, size_t bytes) {
  for (const auto& [first, last] : WritableParts(target, target + bytes)) {
    for (std::byte* page = first; page < last; page += kPageBytes) {
      std::byte* home = old + (page - target);
      if (mremap(page, kPageBytes, kPageBytes, MREMAP_MAYMOVE | MREMAP_FIXED, home) != home) {
        FailCall("mremap to undo a move");
      }
    }
  }
  Unmap(target, bytes);
}

// The part of the mapping that the handler below may open to writing, a page at a time.
struct BarrierRange {
  std::byte* begin = nullptr;
  std::byte* end = nullptr;
};
thread_local volatile BarrierRange t_barrier;

void OnSegv(int, siginfo_t* info, void*) {
  auto* address = static_cast<std::byte*>(info->si_addr);
  if (address < t_barrier.begin || address >= t_barrier.end) {
    FailAccess(info->si_addr, info->si_code);
  }
  const auto page = reinterpret_cast<uintptr_t>(address) & ~(kPageBytes - 1);
  if (mprotect(reinterpret_cast<void*>(page), kPageBytes, kReadWrite) != 0) {
    FailCall("mprotect in the SIGSEGV handler");
  }
}

void SetBarrier(std::byte* begin, std::byte* end) {
  t_barrier.begin = begin;
  t_barrier.end = end;
}

}  // namespace

void InstallBarrierHandler() {
  struct sigaction action {};
  action.sa_sigaction = OnSegv;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  if (sigaction(SIGSEGV, &action, nullptr) != 0) FailCall("sigaction");
}

Region::Region(uint32_t id, uint32_t pages, Rng& rng)
    : id_(id), base_(MapFresh(size_t{pages} * kPageBytes)), models_(pages), rng_(rng) {
  Note("mmap", id_, 0, pages, 0);
  if (rng_.OneIn(4)) madvise(base_, size_t{pages} * kPageBytes, MADV_HUGEPAGE);
}

Region::Region(uint32_t id, std::byte* base, uint32_t pages, Rng& rng)
    : id_(id), base_(base), models_(pages), rng_(rng), owned_(false) {
  Note("brk", id_, 0, pages, 0);
}

Region::~Region() {
  if (!owned_) return;
  Note("munmap", id_, 0, pages(), 0);
  Unmap(base_, size_t{pages()} * kPageBytes);
}

Range Region::RandomRange(uint32_t pages_max) {
  const auto count = static_cast<uint32_t>(1 + rng_.Below(std::min(pages_max, pages())));
  return {static_cast<uint32_t>(rng_.Below(pages() - count + 1)), count};
}

void Region::WritePage(uint32_t page, uint32_t version) {
  PageImage image;
  FillImage({id_, page, version}, image);
  std::memcpy(At(page), image.words, kPageBytes);
  models_[page] = {version, 0, 0, 0};
}

void Region::Write(Range range) {
  const uint32_t version = NextVersion();
  Note("write", id_, range.first, range.count, version);
  for (uint32_t i = 0; i < range.count; ++i) WritePage(range.first + i, version);
}

void Region::Patch(Range range) {
  const uint32_t version = NextVersion();
  Note("patch", id_, range.first, range.count, version);
  for (uint32_t page = range.first; page < range.first + range.count; ++page) {
    PageModel& model = models_[page];
    // The model holds one patch a page: a second one starts from a fresh page.
    if (model.patch_begin != model.patch_end) WritePage(page, version);
    PageImage image;
    const uint32_t patch_version = NextVersion();
    FillImage({id_, page, patch_version}, image);
    const auto begin = static_cast<uint16_t>(rng_.Below(kPageBytes - 1));
    const auto length = 1 + rng_.Below(std::min<uint64_t>(200, kPageBytes - begin));
    std::memcpy(At(page) + begin, image.bytes() + begin, length);
    model.patch_version = patch_version;
    model.patch_begin = begin;
    model.patch_end = static_cast<uint16_t>(begin + length);
  }
}

void Region::Verify(Range range, const char* where) const {
  for (uint32_t page = range.first; page < range.first + range.count; ++page) {
    PageImage expected;
    ExpectedImage(id_, page, models_[page], expected);
    if (std::memcmp(At(page), expected.words, kPageBytes) == 0) continue;
    PageImage found;
    std::memcpy(found.words, At(page), kPageBytes);
    FailPage(where, id_, page, At(page), expected, found);
  }
}

void Region::Expect(Range range, uint32_t version) {
  for (uint32_t i = 0; i < range.count; ++i) models_[range.first + i] = {version, 0, 0, 0};
}

uint64_t Region::ExpectedWord(uint32_t page, size_t word) const {
  PageImage image;
  ExpectedImage(id_, page, models_[page], image);
  return image.words[word];
}

void Region::SetZero(Range range) { Expect(range, 0); }

void Region::VerifyInChild() const {
  switch (fork_mode_) {
    case ForkMode::kCopy:
      VerifyAll("child after fork");
      return;
    case ForkMode::kWipe: {
      const PageImage zero{};
      for (uint32_t page = 0; page < pages(); ++page) {
        if (std::memcmp(At(page), zero.words, kPageBytes) == 0) continue;
        PageImage found;
        std::memcpy(found.words, At(page), kPageBytes);
        FailPage("child after fork, wiped", id_, page, At(page), zero, found);
      }
      return;
    }
    case ForkMode::kAbsent: {
      unsigned char resident = 0;
      if (mincore(base_, kPageBytes, &resident) == 0 || errno != ENOMEM) {
        Fail("region %u is mapped in a child despite MADV_DONTFORK", id_);
      }
      return;
    }
  }
}

void Region::DontNeed(Range range) {
  Note("dontneed", id_, range.first, range.count, 0);
  if (madvise(At(range.first), range.count * kPageBytes, MADV_DONTNEED) != 0) {
    FailCall("madvise(MADV_DONTNEED)");
  }
  SetZero(range);
  if (rng_.OneIn(2)) Verify(range, "reading after MADV_DONTNEED");
}

void Region::Free(Range range) {
  Note("free", id_, range.first, range.count, 0);
  if (madvise(At(range.first), range.count * kPageBytes, MADV_FREE) != 0) {
    FailCall("madvise(MADV_FREE)");
  }
  // Between the advice and the write the content is either the old one or zeroes.
  Write(range);
}

void Region::Advise(Range range) {
  constexpr int kHints[] = {MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ,
                            MADV_POPULATE_WRITE};
  constexpr int kWholeHints[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_RANDOM, MADV_NORMAL};
  // These become flags of the mapping: on a part of it they would split it for good.
  const bool whole = rng_.OneIn(3);
  if (whole) range = {0, pages()};
  const int hint = whole ? kWholeHints[rng_.Below(std::size(kWholeHints))]
                         : kHints[rng_.Below(std::size(kHints))];
  Note("advise", id_, range.first, range.count, static_cast<uint32_t>(hint));
  // A kernel may lack a hint (EINVAL); none may change what the pages hold.
  if (madvise(At(range.first), range.count * kPageBytes, hint) != 0 && errno != EINVAL) {
    FailCall("madvise with a hint");
  }
  if (rng_.OneIn(4)) Verify(range, "reading after a hint");
}

void Region::Grow(uint32_t more) {
  const size_t old_bytes = size_t{pages()} * kPageBytes;
  Note("grow", id_, pages(), more, 0);
  void* moved = mremap(base_, old_bytes, old_bytes + more * kPageBytes, MREMAP_MAYMOVE);
  if (moved == MAP_FAILED && IsSplit()) return;
  if (moved == MAP_FAILED) FailCall("mremap to grow");
  base_ = static_cast<std::byte*>(moved);
  const uint32_t old_pages = pages();
  models_.resize(old_pages + more);
  if (rng_.OneIn(2)) Verify({old_pages, more}, "reading grown pages");
}

void Region::Shrink(uint32_t less) {
  const size_t old_bytes = size_t{pages()} * kPageBytes;
  Note("shrink", id_, pages() - less, less, 0);
  if (mremap(base_, old_bytes, old_bytes - less * kPageBytes, 0) != base_) {
    FailCall("mremap to shrink");
  }
  models_.resize(pages() - less);
}

void Region::Move(bool leave_old) {
  const size_t bytes = size_t{pages()} * kPageBytes;
  Note(leave_old ? "move, leave old" : "move", id_, 0, pages(), 0);
  std::byte* target = MapFresh(bytes, PROT_NONE);
  std::byte* old = base_;
  if (!leave_old) {
    MovePages(old, bytes, target);
    base_ = target;
    return;
  }
  constexpr int kFlags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  void* moved = mremap(old, bytes, bytes, kFlags, target);
  if (moved == MAP_FAILED && IsSplit()) return UndoMove(old, target, bytes);
  if (moved == MAP_FAILED) FailCall("mremap to move");
  base_ = static_cast<std::byte*>(moved);
  const PageImage zero{};
  const uint32_t step = std::max(1u, pages() / 16);
  for (uint32_t page = 0; page < pages(); page += step) {
    std::byte* left = old + size_t{page} * kPageBytes;
    if (std::memcmp(left, zero.words, kPageBytes) == 0) continue;
    PageImage found;
    std::memcpy(found.words, left, kPageBytes);
    FailPage("reading what MREMAP_DONTUNMAP left", id_, page, left, zero, found);
  }
  std::memset(old, 0x5a, kPageBytes);
  Unmap(old, bytes);
}

void Region::MoveAway(Range range) {
  const size_t bytes = range.count * kPageBytes;
  Note("move away", id_, range.first, range.count, 0);
  std::byte* elsewhere = MapFresh(bytes, PROT_NONE);
  MovePages(At(range.first), bytes, elsewhere);
  const uint32_t version = NextVersion();
  for (uint32_t i = 0; i < range.count; ++i) {
    PageImage image;
    const uint32_t page = range.first + i;
    ExpectedImage(id_, page, models_[page], image);
    std::byte* there = elsewhere + i * kPageBytes;
    if (std::memcmp(there, image.words, kPageBytes) != 0) {
      PageImage found;
      std::memcpy(found.words, there, kPageBytes);
      FailPage("reading a part moved away", id_, page, there, image, found);
    }
    if (!rng_.OneIn(4)) continue;
    FillImage({id_, page, version}, image);
    std::memcpy(there, image.words, kPageBytes);
    models_[page] = {version, 0, 0, 0};
  }
  Note("move back", id_, range.first, range.count, version);
  MovePages(elsewhere, bytes, At(range.first));
}

void Region::Replace(Range range, bool unmap_first) {
  Note(unmap_first ? "unmap and map" : "map over", id_, range.first, range.count, 0);
  const size_t bytes = range.count * kPageBytes;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (unmap_first && range.first > 0) {
    Unmap(At(range.first), bytes);
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  }
  void* fresh = mmap(At(range.first), bytes, kReadWrite, flags, -1, 0);
  if (fresh == MAP_FAILED && errno == EEXIST) {
    // Another thread's mapping fell into the hole: the region ends before it from now on.
    const uint32_t tail = range.first + range.count;
    if (tail < pages()) Unmap(At(tail), (pages() - tail) * kPageBytes);
    models_.resize(range.first);
    return;
  }
  if (fresh != At(range.first)) FailCall("mmap at a fixed address");
  SetZero(range);
  if (fork_mode_ != ForkMode::kCopy) SetForkMode(fork_mode_);
  if (rng_.OneIn(2)) Verify(range, "reading a fresh mapping");
}

void Region::ProtectRead(Range range) {
  Note("protect read", id_, range.first, range.count, 0);
  const size_t bytes = range.count * kPageBytes;
  if (mprotect(At(range.first), bytes, PROT_READ) != 0) FailCall("mprotect(PROT_READ)");
  Verify(range, "reading a read-only range");
  if (mprotect(At(range.first), bytes, kReadWrite) != 0) FailCall("mprotect");
  if (rng_.OneIn(2)) Patch(range);
}

void Region::ProtectNone(Range range) {
  Note("protect none", id_, range.first, range.count, 0);
  const size_t bytes = range.count * kPageBytes;
  if (mprotect(At(range.first), bytes, PROT_NONE) != 0) FailCall("mprotect(PROT_NONE)");
  if (mprotect(At(range.first), bytes, kReadWrite) != 0) FailCall("mprotect");
  Verify(range, "reading what was inaccessible");
}

void Region::Barrier(Range range) {
  Note("barrier", id_, range.first, range.count, 0);
  const size_t bytes = range.count * kPageBytes;
  SetBarrier(At(range.first), At(range.first) + bytes);
  if (mprotect(At(range.first), bytes, PROT_READ) != 0) FailCall("mprotect(PROT_READ)");
  Patch(range);
  if (mprotect(At(range.first), bytes, kReadWrite) != 0) FailCall("mprotect");
  SetBarrier(nullptr, nullptr);
}

void Region::Lock(Range range) {
  Note("lock", id_, range.first, range.count, 0);
  const size_t bytes = range.count * kPageBytes;
  // Without the privilege, or over the limit, there is nothing to see.
  if (mlock(At(range.first), bytes) != 0) return;
  Verify(range, "reading a locked range");
  Patch(range);
  if (munlock(At(range.first), bytes) != 0) FailCall("munlock");
  Verify(range, "reading what was locked");
}

void Region::SetForkMode(ForkMode mode) {
  const size_t bytes = size_t{pages()} * kPageBytes;
  Note("fork mode", id_, 0, pages(), static_cast<uint32_t>(mode));
  madvise(base_, bytes, MADV_DOFORK);
  madvise(base_, bytes, MADV_KEEPONFORK);
  if (mode == ForkMode::kWipe && madvise(base_, bytes, MADV_WIPEONFORK) != 0) {
    FailCall("madvise(MADV_WIPEONFORK)");
  }
  if (mode == ForkMode::kAbsent && madvise(base_, bytes, MADV_DONTFORK) != 0) {
    FailCall("madvise(MADV_DONTFORK)");
  }
  fork_mode_ = mode;
}

}  // namespace uzswap::churn
