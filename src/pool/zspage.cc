#include "pool/zspage.h"

#include <algorithm>
#include <utility>

namespace uzswap {

// --- Objects and frames ---

void ZspageView::Clear() {
  std::fill_n(block_, BlockWords(class_), 0u);
  page_.present = 0;
  page_.live = 0;
  page_.backed = 0;
}

void ZspageView::AddObject(uint32_t position, uint32_t index) {
  UZ_CHECK(index != 0 && !IsLive(position) && IsBacked(position));
  set_live_bits(position / 64, live_bits(position / 64) | uint64_t{1} << (position % 64));
  positions()[position] = index;
  ++page_.live;
}

void ZspageView::RemoveObject(uint32_t position) {
  UZ_CHECK(IsLive(position));
  set_live_bits(position / 64, live_bits(position / 64) & ~(uint64_t{1} << (position % 64)));
  positions()[position] = 0;
  --page_.live;
}

void ZspageView::AddFrame(uint32_t k, uint32_t frame) {
  UZ_CHECK(!HasFrame(k));
  SetFrame(k, frame);
  page_.present = static_cast<uint16_t>(page_.present | (1u << k));
  page_.backed = static_cast<uint16_t>(CountBacked());
}

void ZspageView::RemoveFrame(uint32_t k) {
  UZ_CHECK(HasFrame(k));
  UZ_DCHECK(CountLiveIn(k) == 0);
  page_.present = static_cast<uint16_t>(page_.present & ~(1u << k));
  page_.backed = static_cast<uint16_t>(CountBacked());
}

uint32_t ZspageView::CountBacked() const {
  if (page_.present == (1u << class_.frames) - 1) return class_.positions;
  uint32_t backed = 0;
  for (uint32_t k = 0; k < class_.frames; ++k) {
    if (!HasFrame(k)) continue;
    // The positions that begin in frame k. The last of them may end in the next frame.
    const uint32_t end = class_.EndIn(k);
    uint32_t first = class_.FirstIn(k);
    if (first < end && class_.FirstFrameOf(first) < k) ++first;
    backed += end - first;
    if (first < end && class_.LastFrameOf(end - 1) > k && !HasFrame(k + 1)) --backed;
  }
  return backed;
}

// --- Searches ---

uint32_t ZspageView::NextLive(uint32_t from, uint32_t end) const {
  while (from < end) {
    const uint64_t bits = live_bits(from / 64) >> (from % 64);
    if (bits != 0) {
      const uint32_t position = from + static_cast<uint32_t>(std::countr_zero(bits));
      return position < end ? position : kNoPosition;
    }
    from = (from / 64 + 1) * 64;
  }
  return kNoPosition;
}

uint32_t ZspageView::NextFree(uint32_t from, uint32_t end) const {
  while (from < end) {
    const uint64_t bits = ~live_bits(from / 64) >> (from % 64);
    if (bits != 0) {
      const uint32_t position = from + static_cast<uint32_t>(std::countr_zero(bits));
      return position < end ? position : kNoPosition;
    }
    from = (from / 64 + 1) * 64;
  }
  return kNoPosition;
}

uint32_t ZspageView::CountLiveIn(uint32_t k) const {
  uint32_t count = 0;
  const uint32_t end = class_.EndIn(k);
  for (uint32_t position = class_.FirstIn(k); position < end;) {
    const uint32_t stop = std::min((position / 64 + 1) * 64, end);
    uint64_t bits = live_bits(position / 64) >> (position % 64);
    if (stop - position < 64) bits &= (uint64_t{1} << (stop - position)) - 1;
    count += static_cast<uint32_t>(std::popcount(bits));
    position = stop;
  }
  return count;
}

uint32_t ZspageView::FindBacked(uint32_t except) const {
  if (page_.live == page_.backed) return kNoPosition;
  for (uint32_t k = 0; k < class_.frames; ++k) {
    if (!HasFrame(k) || k == except) continue;
    const uint32_t end = class_.EndIn(k);
    for (uint32_t position = NextFree(class_.FirstIn(k), end); position != kNoPosition;
         position = NextFree(position + 1, end)) {
      const bool outside =
          class_.FirstFrameOf(position) != except && class_.LastFrameOf(position) != except;
      if (outside && IsBacked(position)) return position;
    }
  }
  return kNoPosition;
}

uint32_t ZspageView::FindUnbacked() const {
  uint32_t inside = kNoPosition;
  uint32_t any = kNoPosition;
  for (uint32_t k = 0; k < class_.frames; ++k) {
    if (HasFrame(k)) continue;
    // No position with bytes in a missing frame is live.
    const uint32_t first = class_.FirstIn(k);
    const uint32_t end = class_.EndIn(k);
    if (first == end) continue;
    for (const uint32_t position : {first, end - 1}) {
      const uint32_t other = class_.FirstFrameOf(position) < k ? class_.FirstFrameOf(position)
                                                               : class_.LastFrameOf(position);
      if (other != k && HasFrame(other)) return position;
      if (other == k && inside == kNoPosition) inside = position;
    }
    // Of three or more positions the second lies completely inside the frame.
    if (inside == kNoPosition && end - first >= 3) inside = first + 1;
    if (any == kNoPosition) any = first;
  }
  return inside != kNoPosition ? inside : any;
}

uint32_t ZspageView::SparsestFrame() const {
  uint32_t best = kNoFrame;
  uint32_t fewest = UINT32_MAX;
  for (uint32_t k = 0; k < class_.frames; ++k) {
    if (!HasFrame(k)) continue;
    const uint32_t count = CountLiveIn(k);
    if (count >= fewest) continue;
    fewest = count;
    best = k;
  }
  return best;
}

void ZspageView::Audit() const {
  uint32_t live = 0;
  for (uint32_t position = NextLive(0, class_.positions); position != kNoPosition;
       position = NextLive(position + 1, class_.positions)) {
    ++live;
    UZ_CHECK(IsBacked(position));
    UZ_CHECK_NE(object(position), 0u);
  }
  UZ_CHECK_EQ(live, uint32_t{page_.live});
  uint32_t backed = 0;
  for (uint32_t position = 0; position < class_.positions; ++position)
    backed += IsBacked(position) ? 1 : 0;
  UZ_CHECK_EQ(backed, uint32_t{page_.backed});
  for (uint32_t k = 0; k < class_.frames; ++k) {
    if (HasFrame(k)) UZ_CHECK_GT(CountLiveIn(k), 0u);
  }
}

// --- Records and blocks ---

Result<void> ZspageTable::Init(uint64_t frames) {
  // One for each frame, plus the number that can wait in the shards of the index pool.
  const uint64_t units = frames + 1024;
  auto pages = os::VirtualArray<Zspage>::Reserve(units, "zspage descriptors");
  if (!pages.ok()) return pages.error();
  auto words = os::VirtualArray<uint32_t>::Reserve(units * kBlockUnitsMax * kBlockUnit,
                                                   "zspage back-pointers");
  if (!words.ok()) return words.error();
  pages_ = std::move(pages).value();
  words_ = std::move(words).value();
  units_.Init(units);
  return {};
}

uint32_t ZspageTable::Take(const SizeClass& size_class) {
  const uint32_t unit = units_.Take(
      [this](uint32_t i) -> auto& { return pages_[i].stamp; },
      [this](uint64_t count) {
        MutexLock lock(growth_mutex_);
        return pages_.Reach(count);
      });
  if (unit == 0) return 0;
  Zspage& page = pages_[unit];
  UZ_CHECK(!page.is_used());
  const uint32_t units = BlockUnits(size_class);
  if (page.block_units != units && !AssignBlock(page, units)) {
    Return(unit);
    return 0;
  }
  View(page, size_class).Clear();
  return unit;
}

void ZspageTable::Return(uint32_t unit) {
  units_.Put(
      unit, [this](uint32_t i) -> auto& { return pages_[i].stamp; });
}

// Returns false if no block of that length is free; the zspage then has no block. There is room for
// the longest block for every zspage. So this fails only if the pool was repeatedly filled with
// zspages of one block length and then of others.
bool ZspageTable::AssignBlock(Zspage& page, uint32_t units) {
  MutexLock lock(mutex_);
  if (page.block_units != 0) {
    words_[size_t{page.block} * kBlockUnit] = free_blocks_[page.block_units];
    free_blocks_[page.block_units] = page.block;
    page.block_units = 0;
  }
  if (free_blocks_[units] != 0) {
    page.block = free_blocks_[units];
    free_blocks_[units] = words_[size_t{page.block} * kBlockUnit];
  } else {
    const size_t end = (size_t{next_block_} + units) * kBlockUnit;
    if (end > words_.capacity() || !words_.Reach(end)) return false;
    page.block = std::exchange(next_block_, next_block_ + units);
  }
  page.block_units = static_cast<uint8_t>(units);
  return true;
}

uint64_t ZspageTable::metadata_bytes() const {
  MutexLock lock(mutex_);
  return units_.touched() * sizeof(Zspage) + uint64_t{next_block_} * kBlockUnit * sizeof(uint32_t);
}

}  // namespace uzswap
