// Memory: anonymous memory that is filled with pages of real heaps, and knows what it holds.
//
//   content files   | a: 64 pages | b: 64 pages | a: 64 pages | b: ...      read in turn
//   memory          | unit 0 | unit 1 | unit 2 | ...                        a page, or a record
//   sums            | one 32-bit sum for each unit                          private to the program
//
// The content is not marked, so it compresses as it did in the heap. A unit is right if the sum of
// its words is the one that was noted: a wrong byte changes it, and so does a write that was lost.
// A write adds one to one word of the unit, always the same: contents hardly change with time.
//
// Threads: each unit belongs to one thread while threads run.
#ifndef UZSWAP_BENCH_TOUCHES_MEMORY_H_
#define UZSWAP_BENCH_TOUCHES_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace uzswap::touches {

constexpr size_t kPage = 4096;

class Memory {
 public:
  // Requires: `unit_bytes` divides kPage and is a multiple of 4.
  Memory(size_t bytes, size_t unit_bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Empty if all memory was filled; else what is wrong.
  [[nodiscard]] std::string Fill(const std::vector<std::string>& files);

  [[nodiscard]] uint64_t units() const { return sums_.size(); }
  // Whether the unit is what it has to be.
  [[nodiscard]] bool Check(uint64_t unit) const;
  void Write(uint64_t unit);
  // Changes one byte and does not note it: for tests.
  void Corrupt(uint64_t unit);

 private:
  [[nodiscard]] std::byte* At(uint64_t unit) const { return data_ + unit * unit_bytes_; }
  [[nodiscard]] uint32_t SumOf(uint64_t unit) const;

  size_t bytes_;
  size_t unit_bytes_;
  std::byte* data_;
  std::vector<uint32_t> sums_;
};

}  // namespace uzswap::touches

#endif  // UZSWAP_BENCH_TOUCHES_MEMORY_H_
