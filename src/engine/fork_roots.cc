#include "engine/fork_roots.h"

#include <link.h>

#include <cstdio>
#include <cstring>

#include "base/units.h"
#include "os/mapping.h"

// glibc's chain of streams and its lock; both are public symbols.
extern "C" {
extern struct _IO_FILE_plus* _IO_list_all;
void _IO_list_lock();
void _IO_list_unlock();
}

namespace uzswap {
namespace {

// malloc arenas other than the first begin at multiples of this.
constexpr uint64_t kArenaAlignment = 64 << 20;
// Heads that are remembered, so that each is read once; beyond that many, a head may be read more
// than once. They are on the forking thread's stack, which may be small.
constexpr size_t kArenasMax = 64;
constexpr size_t kStreamsMax = 65536;
// The part of a thread's descriptor before and after the robust list's head. What follows the
// head has this much in every glibc since 2.31; what precedes it may be less.
constexpr uint64_t kDescriptorBefore = 0x400;
constexpr uint64_t kDescriptorAfter = 0x620;

bool NamesLibrary(const char* path, const char* name) {
  const char* leaf = strrchr(path, '/');
  leaf = leaf == nullptr ? path : leaf + 1;
  return strncmp(leaf, name, strlen(name)) == 0;
}

// memcpy: whatever type the bytes have there.
uint64_t WordAt(uint64_t address) {
  uint64_t word = 0;
  memcpy(&word, reinterpret_cast<const void*>(address), sizeof(word));
  return word;
}

class Walker {
 public:
  Walker(ForkRoots::Visit visit, void* argument) : visit_(visit), argument_(argument) {}

  void Words(uint64_t start, uint64_t end) {
    for (uint64_t at = (start + 7) & ~uint64_t{7}; at + 8 <= end; at += 8) Candidate(WordAt(at));
  }
  void Candidate(uint64_t address) {
    if (address < kPageSize || address >> 47 != 0) return;
    if (!visit_(argument_, address)) return;
    if (address % kArenaAlignment >= kPageSize) return;
    const uint64_t head = RoundDownToPage(address);
    for (size_t i = 0; i < arena_count_; ++i) {
      if (arenas_[i] == head) return;
    }
    if (arena_count_ < kArenasMax) arenas_[arena_count_++] = head;
    Words(head, head + kPageSize);
  }

 private:
  ForkRoots::Visit visit_;
  void* argument_;
  uint64_t arenas_[kArenasMax];
  size_t arena_count_ = 0;
};

}  // namespace

struct RangeCollector {
  ForkRoots* roots;
  bool full = false;

  static int Collect(dl_phdr_info* info, size_t, void* raw) {
    auto* collector = static_cast<RangeCollector*>(raw);
    ForkRoots& roots = *collector->roots;
    const auto here = reinterpret_cast<uint64_t>(&Collect);
    const bool c_library =
        NamesLibrary(info->dlpi_name, "libc.so") || NamesLibrary(info->dlpi_name, "ld-linux");
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& header = info->dlpi_phdr[i];
      const uint64_t start = info->dlpi_addr + header.p_vaddr;
      ours |= header.p_type == PT_LOAD && start <= here && here < start + header.p_memsz;
    }
    if (!c_library && !ours) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& header = info->dlpi_phdr[i];
      if (header.p_type != PT_LOAD || (header.p_flags & PF_W) == 0) continue;
      const uint64_t start = info->dlpi_addr + header.p_vaddr;
      const uint64_t end = start + header.p_memsz;
      collector->full |= !os::NoteOwnRange({RoundDownToPage(start), RoundUpToPage(end)}).ok();
      if (!c_library) continue;
      collector->full |= !roots.AddRange({start, end});
    }
    return 0;
  }
};

bool ForkRoots::AddRange(AddressRange range) {
  if (count_ == kRangesMax) return false;
  ranges_[count_++] = range;
  return true;
}

Result<void> ForkRoots::Find() {
  RangeCollector collector{this};
  dl_iterate_phdr(RangeCollector::Collect, &collector);
  if (collector.full || count_ == 0) return Error{0, "the data of the C library was not found"};
  return {};
}

void ForkRoots::ForEachOfStack(uint64_t frame, Visit visit, void* argument) {
  const uint64_t first = RoundDownToPage(frame - kStackBelow);
  for (uint64_t page = first; page < frame + kStackAbove; page += kPageSize) visit(argument, page);
}

void ForkRoots::ForEach(const uint64_t* threads, size_t thread_count, Visit visit,
                        void* argument) const {
  Walker walker(visit, argument);
  for (size_t i = 0; i < count_; ++i) walker.Words(ranges_[i].start, ranges_[i].end);
  for (size_t i = 0; i < thread_count; ++i) {
    const uint64_t page = RoundDownToPage(threads[i]);
    const uint64_t before = threads[i] - kDescriptorBefore;
    walker.Words(before < page ? page : before, threads[i] + kDescriptorAfter);
  }

  // Locked: fopen and fclose are kept out while the chain is walked.
  _IO_list_lock();
  const auto* stream = reinterpret_cast<const FILE*>(_IO_list_all);
  for (size_t i = 0; stream != nullptr && i < kStreamsMax; ++i) {
    walker.Candidate(reinterpret_cast<uint64_t>(stream));
    walker.Candidate(reinterpret_cast<uint64_t>(stream) + sizeof(FILE) - 1);
    walker.Candidate(reinterpret_cast<uint64_t>(stream->_lock));
    stream = stream->_chain;
  }
  _IO_list_unlock();
}

}  // namespace uzswap
