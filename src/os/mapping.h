// Mapping: private anonymous memory of our own, fenced by guard pages.
//
//      +-------+---------------------------+-------+
//      | guard |  size() bytes, read/write | guard |
//      +-------+---------------------------+-------+
//
// The guards keep the kernel from merging our areas with the program's (adjacent anonymous
// mappings become one VMA), so that the pager can tell them apart, and turn an overrun into
// a crash. Memory is taken from the kernel on first touch only: reserving much is cheap.
// Never from the heap: inside a foreign process the heap belongs to the program.
//
// Every Mapping is entered in a process-wide list of own ranges (IsOwnRange), which the
// pager consults before it adopts anything. Any thread may call these.
#ifndef UZSWAP_OS_MAPPING_H_
#define UZSWAP_OS_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

// What an own range is used for. Decides which statistic its memory is part of.
enum class MappingPurpose : uint8_t {
  kMetadata,    // tables, buffers and stacks of uzswap
  kPageFrames,  // frames that hold pages of the program: the pool's arena, the staging frames
  kNotOurs,     // left alone, but not allocated by uzswap: the C library's data
};

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // `size` is rounded up to pages; `alignment` is a power of two of at least a page.
  // Fails with the errno of mmap.
  static Result<Mapping> Create(Bytes size, const char* what, size_t alignment = kPageSize,
                                MappingPurpose purpose = MappingPurpose::kMetadata);

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return data_ == nullptr; }

  // Gives the memory of a page-aligned part back to the kernel; it reads as zero afterwards.
  void Discard(size_t offset, size_t length);
  // Makes a page-aligned part inaccessible or accessible again.
  void Protect(size_t offset, size_t length, bool accessible);
  // Asks the kernel never to back this with huge pages, which would populate neighbours of what
  // was touched. A kernel without huge pages has nothing to forbid.
  void ForbidHugePages();

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::byte* outer_ = nullptr;
  size_t outer_size_ = 0;
};

// True if [start, start + length) touches a Mapping (guards included).
bool IsOwnRange(uint64_t start, uint64_t length);

struct OwnRange {
  uint64_t start = 0;  // guards included
  uint64_t end = 0;
  MappingPurpose purpose = MappingPurpose::kMetadata;
};

// The own range with the lowest start at or above `address`. For a walk upwards, which sees every
// range that exists during the whole walk, whatever else is created or removed meanwhile.
std::optional<OwnRange> NextOwnRange(uint64_t address);

// Enters a range that is ours, or that must be left alone, without being a Mapping: the data
// of our own library. Its purpose is kNotOurs. Fails with ENOMEM when the list is full.
Result<void> NoteOwnRange(uint64_t start, uint64_t end);

// Makes the pages of a range of the program's present and its own, as if each had been written
// to (MADV_POPULATE_WRITE). Whatever refuses is left as it is.
void PopulateWrite(uint64_t start, uint64_t length);

// How many Mappings may exist at once; Create fails with ENOMEM beyond it.
inline constexpr int kOwnRangesMax = 4096;

}  // namespace uzswap::os

#endif  // UZSWAP_OS_MAPPING_H_
