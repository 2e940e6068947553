// Mapping: private anonymous memory of uzswap, with guard pages on both sides.
//
//      +-------+--------------------------+--------------------------+-------+
//      | guard | accessible(): read/write | reserved: no access      | guard |
//      +-------+--------------------------+--------------------------+-------+
//              |<----------------------- size() ------------------->|
//                                         -> MakeAccessible
//
// The kernel merges adjacent anonymous mappings into one VMA. The guards prevent that uzswap's
// mappings are merged with the program's, so that the pager can tell them apart. An access beyond
// the end hits a guard and crashes. The heap is not used: it belongs to the program.
//
// Create makes all of it accessible, Reserve nothing. A reservation is for tables whose size is not
// known at the start: it becomes accessible as it grows. So what the program does to its whole
// memory concerns only what is used: mlockall does not populate memory without access, and
// RLIMIT_DATA counts only writable memory. RLIMIT_AS counts reservations too.
//
// A mapping is never locked when it is made, even after mlockall(MCL_FUTURE). UnlockOwnRanges
// unlocks what a later mlockall(MCL_CURRENT) has locked. Only a secret stays locked, so that the
// kernel does not write it to its own swap. Core dumps contain no mapping.
//
// Mappings lie away from those of the program (os/own_address.h).
//
// Every Mapping is in a process-wide list of own ranges (IsOwnRange). The pager checks that list
// before it adopts a mapping. Any thread may call these functions.
#ifndef UZSWAP_OS_MAPPING_H_
#define UZSWAP_OS_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

// What an own range is used for. It decides which statistic counts the memory.
enum class MappingPurpose : uint8_t {
  kMetadata,    // tables, buffers and stacks of uzswap
  kPoolFrames,  // the pool's arena: frames that hold compressed pages
  kPageFrames,  // frames that hold pages of the program: staging frames, regions
  kShared,      // shared with another process (memory_file.h): not in RssAnon
  kNotOurs,     // not allocated by uzswap, but must not be adopted: data of the C library
};

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // `size` is rounded up to pages. `alignment` is a power of two, at least one page.
  // Fails with the errno of mmap, and with ENOMEM if there are kOwnRangesMax own ranges.
  static Result<Mapping> Create(Bytes size, const char* what, size_t alignment = kPageSize,
                                MappingPurpose purpose = MappingPurpose::kMetadata);

  // The same, but no byte is accessible before MakeAccessible.
  static Result<Mapping> Reserve(Bytes size, const char* what, size_t alignment = kPageSize,
                                 MappingPurpose purpose = MappingPurpose::kMetadata);

  // Makes at least the first `bytes` accessible, and up to kGrowthMax more so that few calls ask
  // the kernel. Returns false, and changes nothing, if the kernel refuses (RLIMIT_DATA).
  // Requires: bytes <= size(). The owner's lock guards it.
  [[nodiscard]] bool MakeAccessible(size_t bytes);
  // Bytes from the start on that Create or MakeAccessible made accessible.
  [[nodiscard]] size_t accessible() const { return accessible_; }

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return data_ == nullptr; }

  // Releases the memory of a page-aligned part to the kernel. The part reads as zero afterwards.
  void Discard(size_t offset, size_t length);
  // Makes a page-aligned part inaccessible, or accessible again.
  void Protect(size_t offset, size_t length, bool accessible);
  // For memory that the program's mlockall is about to populate: it skips what is locked on fault.
  // False if the kernel refuses. UnlockOwnRanges undoes it.
  [[nodiscard]] bool LockOnFault() const;
  // Locks all of it, and keeps it locked. If the kernel refuses (RLIMIT_MEMLOCK), LockSecrets says
  // so. Requires: Create, with the alignment of a page.
  void KeepSecret();
  // A forked child does not have it: a touch raises SIGSEGV. Fails with the errno of madvise.
  Result<void> KeepFromChildren();
  // A forked child finds zeroes: for buffers whose content it does not need. Otherwise it would
  // keep a copy of each page that the parent writes next, and of each page that is pinned at the
  // fork. A kernel that refuses makes the child larger, nothing else.
  void WipeInChildren() const;
  // Asks the kernel not to use huge pages here: they would populate pages next to the touched one.
  // A kernel without huge pages ignores it.
  void ForbidHugePages();

  // A growing mapping doubles, within these bounds.
  static constexpr size_t kGrowthMin = size_t{64} << 10;
  static constexpr size_t kGrowthMax = size_t{2} << 20;

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t accessible_ = 0;
  std::byte* outer_ = nullptr;
  size_t outer_size_ = 0;
};

// True if the range overlaps an own range (guards included).
bool IsOwnRange(AddressRange range);

struct OwnRange {
  uint64_t start = 0;  // guards included
  uint64_t end = 0;
  MappingPurpose purpose = MappingPurpose::kMetadata;
  bool secret = false;
};

// The own range with the lowest start at or above `address`. For a walk to higher addresses: it
// finds every range that exists during the whole walk, even if others are created or removed.
std::optional<OwnRange> NextOwnRange(uint64_t address);

// Unlocks every own range that mlockall has locked, except secrets; ranges of the purpose kNotOurs
// are the program's. One system call for each range.
void UnlockOwnRanges();
// Locks all secrets again, for a forked child: locks are not inherited. Returns how many the kernel
// has refused to lock.
uint32_t LockSecrets();

// Adds a range to the list that is not a Mapping but must not be adopted: the data of uzswap's
// library and of the C library. Its purpose is kNotOurs. Fails with ENOMEM if the list is full.
Result<void> NoteOwnRange(AddressRange range);

// Populates the pages of a range of the program and breaks COW, as a write to each page would do
// (MADV_POPULATE_WRITE). Pages for which the kernel refuses it stay unchanged.
void PopulateWrite(uint64_t start, uint64_t length);

// The largest number of own ranges at one time. Create fails with ENOMEM above it.
inline constexpr int kOwnRangesMax = 4096;

}  // namespace uzswap::os

#endif  // UZSWAP_OS_MAPPING_H_
