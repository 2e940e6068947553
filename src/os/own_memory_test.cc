#include "os/own_memory.h"

#include <gtest/gtest.h>
#include <vector>

namespace uzswap::os {
namespace {

// Answers with the pages it was given, and nothing of the kernel's.
class FakeSpace final : public AddressSpace {
 public:
  bool Find(uint64_t, MapsEntry*) override { return false; }
  bool FindOnward(uint64_t, MapsEntry*) override { return false; }
  bool SharedContent(uint64_t) override { return false; }
  Result<size_t> Present(uint64_t start, uint64_t end, PresentRun* runs, size_t capacity,
                         uint64_t* walked) override {
    if (refuse) return Error{5, "a fake scan"};
    size_t count = 0;
    *walked = end;
    for (const uint64_t page : pages) {
      if (page < start || page >= end) continue;
      runs[count++] = {page, page + kPageSize};
      *walked = page + kPageSize;
      if (count == capacity) return count;
    }
    *walked = end;
    return count;
  }

  std::vector<uint64_t> pages;  // ascending
  bool refuse = false;
};

uint64_t PageOf(const Mapping& mapping, size_t page) {
  return reinterpret_cast<uint64_t>(mapping.data()) + page * kPageSize;
}

TEST(OwnMemory, SumsThePresentPagesOfOnePurpose) {
  auto table = Mapping::Create(Bytes(256 * kPageSize), "a table");
  auto frames =
      Mapping::Create(Bytes(256 * kPageSize), "frames", kPageSize, MappingPurpose::kPageFrames);
  ASSERT_TRUE(table.ok() && frames.ok());
  FakeSpace space;
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), Bytes(0));
  // More runs than one answer has room for.
  for (size_t i = 0; i < 200; ++i) space.pages.push_back(PageOf(table.value(), i));
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), Bytes(200 * kPageSize));
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kPageFrames), Bytes(0));
  space.pages = {PageOf(frames.value(), 3), PageOf(frames.value(), 255)};
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), Bytes(0));
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kPageFrames), Bytes(2 * kPageSize));
  // A page of the program is nobody's.
  space.pages = {uint64_t{1} << 40};
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), Bytes(0));
}

TEST(OwnMemory, ARefusedScanCountsNothingAndEnds) {
  auto table = Mapping::Create(Bytes(16 * kPageSize), "a table");
  ASSERT_TRUE(table.ok());
  FakeSpace space;
  space.pages = {PageOf(table.value(), 0)};
  space.refuse = true;
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), Bytes(0));
}

TEST(OwnMemory, TheKernelCountsExactlyWhatWasTouched) {
  LinuxAddressSpace space;
  ASSERT_TRUE(space.Open().ok());
  const Bytes before = PresentOwnBytes(space, MappingPurpose::kMetadata);
  auto table = Mapping::Create(Bytes(64 << 20), "a table");
  ASSERT_TRUE(table.ok());
  table.value().ForbidHugePages();
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), before);
  for (const size_t page : {0, 1, 5000, 16383})
    table.value().data()[page * kPageSize] = std::byte{1};
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), before + Bytes(4 * kPageSize));
}

TEST(OwnMemory, ARangeThatIsNotOursIsNoMetadata) {
  const uint64_t start = uint64_t{1} << 41;
  ASSERT_TRUE(NoteOwnRange({start, start + 4 * kPageSize}).ok());
  FakeSpace space;
  space.pages = {start};
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kMetadata), Bytes(0));
  EXPECT_EQ(PresentOwnBytes(space, MappingPurpose::kNotOurs), Bytes(kPageSize));
}

}  // namespace
}  // namespace uzswap::os
