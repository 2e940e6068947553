#include "region/region_reclaim.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "os/counted_move.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

Result<void> RegionReclaim::Init(RegionMemory& memory) {
  memory_ = &memory;
  const uint64_t chunks = (memory.pages + kChunkPages - 1) / kChunkPages;
  shard_count_ = static_cast<uint32_t>(std::min<uint64_t>(chunks, kShardsMax));
  // An eighth of the budget may be staged, so that a page that is used is seen to be. A shard needs
  // room for a batch that is being stored, and for the next one.
  const uint64_t staged = memory.limit_pages / 8 / shard_count_;
  staged_target_ = static_cast<uint32_t>(std::clamp<uint64_t>(staged, kStoreBatch, 4096));
  const uint32_t capacity = std::bit_ceil(staged_target_ + kIsolateBatch + kStoreBatch);
  auto frames = os::Mapping::Create(Bytes(uint64_t{capacity} * shard_count_ << kPageShift),
                                    "staging frames", kPageSize, os::MappingPurpose::kPageFrames);
  if (!frames.ok()) return frames.error();
  memory.frames = std::move(frames).value();
  memory.frames.ForbidHugePages();
  // Frames that a child shares could not be moved back.
  const Result<void> kept = memory.frames.KeepFromChildren();
  if (!kept.ok()) return kept;
  for (uint32_t i = 0; i < shard_count_; ++i) {
    Shard& shard = shards_[i];
    MutexLock lock(shard.mutex);
    const Result<void> done = shard.ring.Init(memory.frames, i * capacity, capacity);
    if (!done.ok()) return done;
    shard.pages = PagesOf(i);
  }
  return memory.port->Register(memory.FrameAddress(0), memory.frames.size());
}

uint64_t RegionReclaim::PagesOf(uint32_t shard) const {
  const uint64_t chunks = memory_->pages / kChunkPages;
  const uint64_t rest = memory_->pages % kChunkPages;
  const uint64_t whole = chunks / shard_count_ + (shard < chunks % shard_count_ ? 1 : 0);
  return whole * kChunkPages + (shard == chunks % shard_count_ ? rest : 0);
}

size_t RegionReclaim::EvictSome(CacheContext& context) {
  return EvictFrom(next_shard_.fetch_add(1, std::memory_order_relaxed) % shard_count_, context);
}

size_t RegionReclaim::EvictFrom(uint32_t number, CacheContext& context) {
  Shard& shard = shards_[number];
  Batch batch;
  if (!shard.mutex.TryLock()) {
    memory_->counters.evictions_elsewhere.Add();
    return 0;
  }
  const bool elsewhere = shard.storing;
  if (!elsewhere) {
    if (shard.ring.count() < staged_target_) Isolate(number, shard, kIsolateBatch);
    PopBatch(shard, &batch);
    shard.storing = batch.count > 0;
  }
  shard.mutex.Unlock();
  if (elsewhere) memory_->counters.evictions_elsewhere.Add();
  return batch.count > 0 ? StoreBatch(shard, context, batch) : 0;
}

void RegionReclaim::Prefer(uint64_t first, uint64_t pages) {
  for (uint64_t page = first; page < first + pages; ++page) {
    const RegionWord word = memory_->words.Read(page);
    if (word.state() != RegionPageState::kResident || word.busy() || word.age() == 0) continue;
    // A page that somebody uses just now is none of them.
    static_cast<void>(memory_->words.Change(page, word, word.Resident(0)));
  }
  const uint64_t chunk = first / kChunkPages;
  for (uint64_t i = 0; i < shard_count_; ++i) {
    Shard& shard = shards_[(chunk + i) % shard_count_];
    MutexLock lock(shard.mutex);
    const uint64_t hand = (chunk + i) / shard_count_ * kChunkPages;
    if (hand < shard.pages) shard.hand = hand;
  }
}

void RegionReclaim::Isolate(uint32_t number, Shard& shard, uint32_t want) {
  // The next call continues from the hand, so that the lock of a huge region is not held for long.
  uint64_t scan_left = std::min(shard.pages * (RegionWord::kAgeMax + 1), kScanMax);
  uint32_t isolated = 0;
  Victim run[kIsolateBatch];
  while (isolated < want && scan_left > 0) {
    const uint32_t room = shard.ring.Room(want - isolated);
    if (room == 0) break;
    const size_t count = ClaimRun(number, shard, &scan_left, run, room);
    if (count == 0) break;
    const size_t moved = MoveRun(shard, run, count);
    isolated += static_cast<uint32_t>(moved);
  }
  memory_->counters.isolated.Add(isolated);
}

// A run ends at the border of a chunk, and where the ring's frames end.
size_t RegionReclaim::ClaimRun(uint32_t number, Shard& shard, uint64_t* scan_left, Victim* run,
                               size_t want) {
  size_t count = 0;
  while (count<want&& * scan_left> 0) {
    if (count > 0 && shard.hand % kChunkPages == 0) break;
    const uint64_t page = PageOf(number, shard.hand);
    const RegionWord word = memory_->words.Read(page);
    const bool claimed = IsVictim(page, word) && memory_->words.Claim(page, word);
    if (claimed) run[count++] = {page, word};
    --*scan_left;
    shard.hand = shard.hand + 1 == shard.pages ? 0 : shard.hand + 1;
    if (!claimed && count > 0) break;
  }
  return count;
}

bool RegionReclaim::IsVictim(uint64_t page, RegionWord word) {
  if (word.state() != RegionPageState::kResident || word.busy() || word.pins() > 0) return false;
  if (word.age() == 0) return true;
  // A lost race makes it younger at the next pass.
  static_cast<void>(memory_->words.Change(page, word, word.Resident(word.age() - 1)));
  return false;
}

size_t RegionReclaim::MoveRun(Shard& shard, const Victim* run, size_t count) {
  RegionMemory& memory = *memory_;
  const PortResult result =
      os::MoveIn(*memory.port, *memory.address_space, memory.FrameAddress(shard.ring.TailFrame()),
                 memory.AddressOf(run[0].page), count, memory.counters.unreported_moves);
  const size_t moved = result.done_bytes >> kPageShift;
  for (size_t i = 0; i < moved; ++i) {
    const uint32_t frame = shard.ring.TailFrame();
    shard.ring.Push(run[i].page);
    memory.words.GiveBack(run[i].page, run[i].word.In(RegionPageState::kStaged, frame));
  }
  memory.counters.resident.Sub(moved);
  memory.counters.staged.Add(moved);
  for (size_t i = moved; i < count; ++i) {
    RegionWord next = run[i].word;
    if (i == moved && result.outcome == PortOutcome::kGone) {
      next = next.In(RegionPageState::kEmpty);
      memory.counters.resident.Sub();
    } else if (i == moved &&
               (result.outcome == PortOutcome::kBusy || result.outcome == PortOutcome::kRefused)) {
      next = next.Resident(RegionWord::kAgeMax);
      memory.counters.refused.Add();
    } else if (i == moved) {
      memory.counters.retries.Add();
    }
    memory.words.GiveBack(run[i].page, next);
  }
  return moved;
}

void RegionReclaim::PopBatch(Shard& shard, Batch* batch) {
  while (batch->count < kStoreBatch && shard.ring.count() > 0) {
    batch->frames[batch->count++] = shard.ring.Pop();
  }
  batch->head = shard.ring.head();
}

// Waits for a thread that is moving the page back: its frame must not be given back before that has
// ended. A page is claimed just before it is stored, so a thread that touches one of the batch
// does not wait for the others.
bool RegionReclaim::ClaimStaged(const StagingRing::Oldest& oldest, Staged* staged) {
  while (true) {
    const RegionWord word = memory_->words.ReadSettled(oldest.page);
    if (word.state() != RegionPageState::kStaged || word.payload() != oldest.frame) return false;
    if (!memory_->words.Claim(oldest.page, word)) continue;
    *staged = {oldest.page, oldest.frame, word};
    return true;
  }
}

size_t RegionReclaim::StoreBatch(Shard& shard, CacheContext& context,
                                 const Batch& batch) UZ_NO_THREAD_SAFETY_ANALYSIS {
  size_t freed = 0;
  for (size_t i = 0; i < batch.count; ++i) {
    Staged staged;
    if (!ClaimStaged(batch.frames[i], &staged)) continue;
    freed += StoreOne(context, staged) ? 1 : 0;
  }
  // Only this thread changes what is released.
  shard.ring.DiscardUpTo(batch.head);
  memory_->counters.staged.Sub(freed);
  MutexLock lock(shard.mutex);
  shard.ring.Release(batch.head);
  shard.storing = false;
  return freed;
}

bool RegionReclaim::StoreOne(CacheContext& context, const Staged& staged) {
  RegionCounters& counters = memory_->counters;
  const StoredPage stored =
      memory_->store->Store(context, ConstPageBytes(memory_->FrameData(staged.frame), kPageSize));
  switch (stored.as) {
    case StoredAs::kSlot:
      counters.stored.Add();
      memory_->words.GiveBack(staged.page,
                              staged.word.In(RegionPageState::kStored, stored.slot.raw()));
      return true;
    case StoredAs::kSameFilled:
      memory_->words.GiveBack(staged.page,
                              staged.word.In(RegionPageState::kSameFilled, stored.pattern));
      return true;
    case StoredAs::kIncompressible:
      counters.incompressible.Add();
      Return(staged, RegionWord::kAgeMax);
      return false;
    case StoredAs::kNoSpace:
      counters.no_room.Add();
      Return(staged, 0);
      return false;
    case StoredAs::kUnchanged:
      Panic(__FILE__, __LINE__, "a region keeps no slots");
  }
  return false;
}

// Its frame is about to be given back, so the page cannot stay there.
void RegionReclaim::Return(const Staged& staged, uint32_t age) {
  RegionMemory& memory = *memory_;
  while (true) {
    PortResult result =
        os::MoveOut(*memory.port, *memory.address_space, memory.AddressOf(staged.page),
                    memory.FrameAddress(staged.frame), 1, memory.counters.unreported_moves);
    if (result.outcome == PortOutcome::kBusy || result.outcome == PortOutcome::kRefused) {
      result = memory.port->Copy(memory.AddressOf(staged.page), memory.FrameData(staged.frame),
                                 kPageSize);
    }
    if (result.outcome == PortOutcome::kDone) break;
    const bool passes =
        result.outcome == PortOutcome::kRetry || result.outcome == PortOutcome::kNoMemory;
    if (!passes) {
      PanicOperands(__FILE__, __LINE__, "a staged page of a region cannot be moved back",
                    memory.AddressOf(staged.page), static_cast<uint64_t>(result.outcome));
    }
    memory.counters.retries.Add();
    os::YieldProcessor();
  }
  memory.counters.staged.Sub();
  memory.counters.resident.Add();
  memory.words.GiveBack(staged.page, staged.word.Resident(age));
}

}  // namespace uzswap
