#include "library/region_heap.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace uzswap {
namespace {

constexpr size_t kLinearMax = 128;  // up to here a class each 16 bytes, then four for each doubling
constexpr size_t kLinearClasses = kLinearMax / RegionHeap::kSmallestBytes;
constexpr size_t kPerDoubling = 4;

}  // namespace

size_t RegionHeap::BytesOf(size_t size_class) {
  if (size_class < kLinearClasses) return (size_class + 1) * kSmallestBytes;
  const size_t above = size_class - kLinearClasses;
  const size_t doubling = kLinearMax << (above / kPerDoubling);
  return doubling + doubling / kPerDoubling * (above % kPerDoubling + 1);
}

size_t RegionHeap::ClassOf(size_t bytes, size_t alignment) {
  if (bytes > kLargestOfClass || alignment > kLargestOfClass) return kClasses;
  size_t size_class = bytes == 0 ? 0 : (bytes - 1) / kSmallestBytes;
  if (bytes > kLinearMax) {
    // 129 to 256: the doubling of 128.
    const size_t doubling = std::bit_floor(bytes - 1);
    const size_t quarter = (bytes - 1 - doubling) / (doubling / kPerDoubling);
    const auto doublings = static_cast<size_t>(std::countr_zero(doubling / kLinearMax));
    size_class = kLinearClasses + doublings * kPerDoubling + quarter;
  }
  // The last class of each doubling is a power of two.
  while (size_class < kClasses && BytesOf(size_class) % alignment != 0) ++size_class;
  return size_class;
}

uint32_t RegionHeap::ObjectsOf(size_t size_class) {
  return static_cast<uint32_t>(kSlabBytes / BytesOf(size_class));
}

RegionHeap::RegionHeap(std::span<std::byte> memory, Discarder discarder) : discarder_(discarder) {
  rooms_.fill(kNone);
  empty_.fill(kNone);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  const size_t skipped = (kSlabBytes - address % kSlabBytes) % kSlabBytes;
  if (memory.size() < skipped + kSlabBytes) return;
  const size_t count = (memory.size() - skipped) / kSlabBytes;
  UZ_CHECK_LT(count, size_t{kNone});
  auto slabs = os::VirtualArray<Slab>::Create(count, "memory for the slabs of a region");
  auto bits = os::VirtualArray<SlabBits>::Create(count, "memory for the objects of a region");
  auto words = os::VirtualArray<uint64_t>::Create(Bitmap::WordsFor(count), "memory for free slabs");
  if (!slabs.ok() || !bits.ok() || !words.ok()) return;
  slabs_ = std::move(slabs).value();
  bits_ = std::move(bits).value();
  free_words_ = std::move(words).value();
  base_ = memory.data() + skipped;
  slab_count_ = static_cast<uint32_t>(count);
  free_ = Bitmap(free_words_.data(), count);
  free_.SetAll();
  free_below_ = slab_count_;
  counts_.table_bytes =
      count * (sizeof(Slab) + sizeof(SlabBits)) + Bitmap::WordsFor(count) * sizeof(uint64_t);
}

void* RegionHeap::Allocate(size_t bytes, size_t alignment) {
  if (!std::has_single_bit(alignment) || alignment > kSlabBytes) return nullptr;
  if (bytes > size_t{slab_count_} * kSlabBytes) return nullptr;
  const size_t size_class = ClassOf(bytes, alignment);
  void* object = TryAllocate(bytes, size_class);
  if (object == nullptr && GiveBackEmpty()) object = TryAllocate(bytes, size_class);
  return object;
}

void* RegionHeap::TryAllocate(size_t bytes, size_t size_class) {
  const MutexLock lock(mutex_);
  return size_class < kClasses ? AllocateSmall(size_class) : AllocateLarge(bytes);
}

void* RegionHeap::AllocateSmall(size_t size_class) {
  uint32_t slab = rooms_[size_class];
  if (slab == kNone) {
    if (free_.count() == 0) return nullptr;
    slab = static_cast<uint32_t>(free_.Lowest());
    free_.Clear(slab);
    slabs_[slab].state = SlabState::kClass;
    slabs_[slab].size_class = static_cast<uint8_t>(size_class);
    slabs_[slab].used = 0;
    Push(slab);
    counts_.slab_bytes += kSlabBytes;
  }
  if (empty_[size_class] == slab) empty_[size_class] = kNone;
  const uint32_t objects = ObjectsOf(size_class);
  SlabBits& bits = bits_[slab];
  size_t word = 0;
  while (bits.words[word] == UINT64_MAX) ++word;
  const auto bit = static_cast<size_t>(std::countr_one(bits.words[word]));
  const size_t index = word * 64 + bit;
  UZ_CHECK_LT(index, size_t{objects});
  bits.words[word] |= uint64_t{1} << bit;
  if (++slabs_[slab].used == objects) Remove(slab);
  ++counts_.objects;
  counts_.object_bytes += BytesOf(size_class);
  return StartOf(slab) + index * BytesOf(size_class);
}

void* RegionHeap::AllocateLarge(size_t bytes) {
  const size_t count = bytes == 0 ? 1 : (bytes - 1) / kSlabBytes + 1;
  if (count > free_.count()) return nullptr;
  // Large objects come from above: what is used there need not be searched each time.
  free_below_ = static_cast<uint32_t>(free_.HighestRunBelow(free_below_, 1, 1).first) + 1;
  const Bitmap::Run run = free_.HighestRunBelow(free_below_, count, count);
  if (run.count == 0) return nullptr;
  const auto first = static_cast<uint32_t>(run.first);
  for (uint32_t i = 0; i < count; ++i) {
    free_.Clear(first + i);
    slabs_[first + i].state = i == 0 ? SlabState::kHead : SlabState::kBody;
  }
  slabs_[first].used = static_cast<uint32_t>(count);
  ++counts_.objects;
  counts_.object_bytes += count * kSlabBytes;
  counts_.slab_bytes += count * kSlabBytes;
  return StartOf(first);
}

void RegionHeap::Free(void* object, size_t bytes, size_t alignment) {
  const auto offset = static_cast<size_t>(static_cast<std::byte*>(object) - base_);
  UZ_CHECK_LT(offset, size_t{slab_count_} * kSlabBytes);
  const auto slab = static_cast<uint32_t>(offset / kSlabBytes);
  const size_t size_class = ClassOf(bytes, alignment);
  uint32_t count = 1;
  {
    const MutexLock lock(mutex_);
    if (size_class < kClasses) {
      if (FreeSmall(slab, object, size_class) == kNone) return;
    } else {
      count = FreeLarge(slab, object);
    }
    Leave(slab, count);
  }
  GiveBack(slab, count);
}

uint32_t RegionHeap::FreeSmall(uint32_t slab, const void* object, size_t size_class) {
  Slab& entry = slabs_[slab];
  UZ_CHECK(entry.state == SlabState::kClass && entry.size_class == size_class);
  const auto offset = static_cast<size_t>(static_cast<const std::byte*>(object) - StartOf(slab));
  const size_t index = offset / BytesOf(size_class);
  UZ_CHECK_EQ(offset % BytesOf(size_class), size_t{0});
  uint64_t& word = bits_[slab].words[index / 64];
  const uint64_t bit = uint64_t{1} << (index % 64);
  UZ_CHECK((word & bit) != 0);  // it was freed before
  word &= ~bit;
  --counts_.objects;
  counts_.object_bytes -= BytesOf(size_class);
  if (entry.used-- == ObjectsOf(size_class)) Push(slab);
  if (entry.used > 0) return kNone;
  if (empty_[size_class] == kNone) {
    empty_[size_class] = slab;
    return kNone;
  }
  Remove(slab);
  return slab;
}

uint32_t RegionHeap::FreeLarge(uint32_t first, const void* object) {
  UZ_CHECK(slabs_[first].state == SlabState::kHead && StartOf(first) == object);
  const uint32_t count = slabs_[first].used;
  --counts_.objects;
  counts_.object_bytes -= count * kSlabBytes;
  return count;
}

void RegionHeap::Leave(uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) slabs_[first + i].state = SlabState::kLeaving;
}

// Without the lock: to discard waits for pages that are on their way.
void RegionHeap::GiveBack(uint32_t first, uint32_t count) {
  discarder_.discard(discarder_.context, StartOf(first), count * kSlabBytes);
  const MutexLock lock(mutex_);
  for (uint32_t i = 0; i < count; ++i) {
    slabs_[first + i].state = SlabState::kFree;
    free_.Set(first + i);
  }
  free_below_ = std::max(free_below_, first + count);
  counts_.slab_bytes -= count * kSlabBytes;
}

bool RegionHeap::GiveBackEmpty() {
  std::array<uint32_t, kClasses> slabs{};
  size_t count = 0;
  {
    const MutexLock lock(mutex_);
    for (uint32_t& slab : empty_) {
      if (slab == kNone) continue;
      Remove(slab);
      Leave(slab, 1);
      slabs[count++] = slab;
      slab = kNone;
    }
  }
  for (size_t i = 0; i < count; ++i) GiveBack(slabs[i], 1);
  return count > 0;
}

void RegionHeap::Push(uint32_t slab) {
  Slab& entry = slabs_[slab];
  uint32_t& first = rooms_[entry.size_class];
  entry.next = first;
  entry.previous = kNone;
  if (first != kNone) slabs_[first].previous = slab;
  first = slab;
}

void RegionHeap::Remove(uint32_t slab) {
  const Slab& entry = slabs_[slab];
  if (entry.next != kNone) slabs_[entry.next].previous = entry.previous;
  if (entry.previous != kNone) {
    slabs_[entry.previous].next = entry.next;
  } else {
    rooms_[entry.size_class] = entry.next;
  }
}

RegionHeap::Counts RegionHeap::Count() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void RegionHeap::Audit() const {
  if (!ok()) return;
  const MutexLock lock(mutex_);
  free_.Audit();
  Counts found;
  size_t with_room = 0;
  for (uint32_t slab = 0; slab < slab_count_; ++slab) {
    const Slab& entry = slabs_[slab];
    UZ_CHECK_EQ(free_.Test(slab), entry.state == SlabState::kFree);
    UZ_CHECK(entry.state != SlabState::kFree || slab < free_below_);
    found.slab_bytes += entry.state == SlabState::kFree ? 0 : kSlabBytes;
    if (entry.state == SlabState::kHead) {
      ++found.objects;
      found.object_bytes += entry.used * kSlabBytes;
    }
    if (entry.state != SlabState::kClass) continue;
    uint32_t used = 0;
    for (const uint64_t word : bits_[slab].words)
      used += static_cast<uint32_t>(std::popcount(word));
    UZ_CHECK_EQ(used, entry.used);
    UZ_CHECK_LE(used, ObjectsOf(entry.size_class));
    UZ_CHECK_EQ(used == 0, empty_[entry.size_class] == slab);
    with_room += used < ObjectsOf(entry.size_class) ? 1 : 0;
    found.objects += used;
    found.object_bytes += used * BytesOf(entry.size_class);
  }
  for (size_t size_class = 0; size_class < kClasses; ++size_class) {
    uint32_t previous = kNone;
    for (uint32_t slab = rooms_[size_class]; slab != kNone; slab = slabs_[slab].next) {
      UZ_CHECK_EQ(size_t{slabs_[slab].size_class}, size_class);
      UZ_CHECK_EQ(slabs_[slab].previous, previous);
      UZ_CHECK_LT(slabs_[slab].used, ObjectsOf(size_class));
      previous = slab;
      --with_room;
    }
  }
  UZ_CHECK_EQ(with_room, size_t{0});
  UZ_CHECK_EQ(found.objects, counts_.objects);
  UZ_CHECK_EQ(found.object_bytes, counts_.object_bytes);
  UZ_CHECK_EQ(found.slab_bytes, counts_.slab_bytes);
}

}  // namespace uzswap
