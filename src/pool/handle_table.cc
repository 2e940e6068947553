#include "pool/handle_table.h"

#include <utility>

namespace uzswap {
namespace {

constexpr uint64_t kPinMask = (uint64_t{1} << 33) - 1;
constexpr uint64_t kMoving = uint64_t{1} << 33;
constexpr uint64_t kLive = uint64_t{1} << 34;
constexpr int kSizeShift = 35;
constexpr uint64_t kSizeMask = (uint64_t{1} << 13) - 1;
constexpr int kGenerationShift = 48;
static_assert(kPageSize <= kSizeMask);
static_assert(kSizeShift + 13 == kGenerationShift);

constexpr uint16_t GenerationIn(uint64_t state) {
  return static_cast<uint16_t>(state >> kGenerationShift);
}
constexpr uint64_t Pack(Place place) { return (uint64_t{place.unit} << 16) | place.slot; }
constexpr Place Unpack(uint64_t raw) {
  return {static_cast<uint32_t>(raw >> 16), static_cast<uint16_t>(raw)};
}
constexpr bool Names(uint64_t state, Handle handle) {
  return (state & kLive) != 0 && GenerationIn(state) == handle.generation();
}
static_assert(Unpack(Pack({7, 9})) == Place{7, 9});

}  // namespace

Result<void> HandleTable::Init(uint64_t capacity) {
  UZ_CHECK_LE(capacity, uint64_t{UINT32_MAX});
  auto records = os::VirtualArray<Record>::Create(capacity, "handle table");
  if (!records.ok()) return records.error();
  records_ = std::move(records).value();
  indices_.Init(capacity);
  return {};
}

uint32_t HandleTable::TakeIndex() {
  return indices_.Take([this](uint32_t i) -> auto& { return records_[i].place; });
}

void HandleTable::ReturnIndex(uint32_t index) {
  UZ_DCHECK((records_[index].state.load(std::memory_order_relaxed) & kLive) == 0);
  indices_.Put(
      index, [this](uint32_t i) -> auto& { return records_[i].place; });
}

Handle HandleTable::Publish(uint32_t index, size_t size, uint64_t owner_key, Place place,
                            uint32_t pins) {
  Record& record = records_[index];
  const uint64_t before = record.state.load(std::memory_order_relaxed);
  UZ_CHECK((before & kLive) == 0);
  record.place.store(Pack(place), std::memory_order_relaxed);
  record.owner_key.store(owner_key, std::memory_order_relaxed);
  const uint16_t generation = GenerationIn(before);
  const uint64_t state =
      (uint64_t{generation} << kGenerationShift) | (uint64_t{size} << kSizeShift) | kLive | pins;
  record.state.store(state, std::memory_order_release);
  return Handle(index, generation);
}

PinOutcome HandleTable::TryPin(Handle handle) {
  if (handle.index() >= records_.capacity()) return PinOutcome::kStale;
  std::atomic<uint64_t>& state = records_[handle.index()].state;
  uint64_t seen = state.load(std::memory_order_relaxed);
  do {
    if (!Names(seen, handle)) return PinOutcome::kStale;
    if ((seen & kMoving) != 0) return PinOutcome::kMoving;
    // Acquire pairs with Publish, EndMove and a writer's Unpin.
  } while (!state.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed));
  return PinOutcome::kPinned;
}

void HandleTable::Unpin(uint32_t index) {
  // Release: a mover or a liberator that sees no pin also sees that our reads are over.
  const uint64_t before = records_[index].state.fetch_sub(1, std::memory_order_release);
  UZ_CHECK((before & kPinMask) != 0);
}

bool HandleTable::IsLive(Handle handle) const {
  return handle.index() < records_.capacity() &&
         Names(records_[handle.index()].state.load(std::memory_order_acquire), handle);
}

Place HandleTable::PlaceOf(uint32_t index) const {
  return Unpack(records_[index].place.load(std::memory_order_relaxed));
}

size_t HandleTable::SizeOf(uint32_t index) const {
  return (records_[index].state.load(std::memory_order_relaxed) >> kSizeShift) & kSizeMask;
}

uint64_t HandleTable::OwnerOf(uint32_t index) const {
  return records_[index].owner_key.load(std::memory_order_relaxed);
}

Handle HandleTable::HandleOf(uint32_t index) const {
  return Handle(index, GenerationIn(records_[index].state.load(std::memory_order_relaxed)));
}

uint64_t HandleTable::PinsOf(uint32_t index) const {
  return records_[index].state.load(std::memory_order_relaxed) & kPinMask;
}

bool HandleTable::TryBeginMove(uint32_t index) {
  std::atomic<uint64_t>& state = records_[index].state;
  uint64_t seen = state.load(std::memory_order_relaxed);
  if ((seen & kLive) == 0 || (seen & (kMoving | kPinMask)) != 0) return false;
  return state.compare_exchange_strong(seen, seen | kMoving, std::memory_order_acquire,
                                       std::memory_order_relaxed);
}

void HandleTable::EndMove(uint32_t index, Place place) {
  Record& record = records_[index];
  record.place.store(Pack(place), std::memory_order_relaxed);
  const uint64_t before = record.state.fetch_and(~kMoving, std::memory_order_release);
  UZ_CHECK((before & kMoving) != 0);
}

RetireOutcome HandleTable::Retire(Handle handle) {
  if (handle.index() >= records_.capacity()) return RetireOutcome::kStale;
  std::atomic<uint64_t>& state = records_[handle.index()].state;
  uint64_t seen = state.load(std::memory_order_relaxed);
  const uint16_t next = static_cast<uint16_t>(handle.generation() + 1);
  do {
    if (!Names(seen, handle)) {
      const bool just_freed = (seen & kLive) == 0 && GenerationIn(seen) == next;
      return just_freed ? RetireOutcome::kDoubleFree : RetireOutcome::kStale;
    }
    if ((seen & kPinMask) != 0) return RetireOutcome::kPinned;
    UZ_CHECK((seen & kMoving) == 0);
  } while (!state.compare_exchange_weak(seen, uint64_t{next} << kGenerationShift,
                                        std::memory_order_acq_rel, std::memory_order_relaxed));
  return RetireOutcome::kRetired;
}

uint64_t HandleTable::CountLiveForAudit() const {
  uint64_t live = 0;
  for (uint64_t i = 1; i < indices_.touched(); ++i) {
    const uint64_t state = records_[i].state.load(std::memory_order_acquire);
    if ((state & kLive) != 0) ++live;
    UZ_CHECK((state & kMoving) == 0);
  }
  return live;
}

}  // namespace uzswap
