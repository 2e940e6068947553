#include "reclaim/evictor.h"

#include <algorithm>

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

size_t Evictor::Isolate(size_t want) {
  size_t isolated = 0;
  size_t refused = 0;
  size_t scan_left = parts_.policy->SweepScanMax();
  bool stop = frozen_;
  last_sweep_failed_ = false;
  while (isolated < want && refused < kRefusalsMax && !stop) {
    const VictimRun victims = parts_.policy->NextRun(want - isolated, &scan_left);
    if (victims.pages == 0) break;
    switch (IsolateRun(victims, &isolated)) {
      case RunOutcome::kIsolated:
        break;
      case RunOutcome::kRefused:
        ++refused;
        break;
      case RunOutcome::kStop:
        stop = true;
        break;
    }
  }
  last_sweep_failed_ = isolated == 0 && !stop && want > 0;
  return isolated;
}

Evictor::RunOutcome Evictor::IsolateRun(const VictimRun& victims, size_t* isolated) {
  const StagingFrames::Run run = parts_.frames->FindEmpty(victims.pages);
  // No Empty frame: pages must be stored and released first.
  if (run.count == 0) return RunOutcome::kStop;
  PortResult result;
  size_t pages = run.count;
  do {
    result = parts_.mover->Isolate(victims.address, run.first, pages);
    pages /= 2;
    // The border of two mappings can lie in the run, and no call crosses it.
  } while (result.outcome == PortOutcome::kRefused && pages > 0);
  const size_t done = result.done_bytes >> kPageShift;
  for (size_t i = 0; i < done; ++i) {
    const FrameId frame(run.first.raw() + static_cast<uint32_t>(i));
    parts_.contents->NoteIsolated(victims.first + i, frame);
  }
  parts_.policy->OnIsolated(done);
  parts_.statistics->pages_taken.Add(done);
  *isolated += done;
  // A run that ended early does not say why: the next round asks for the page it stopped at.
  if (done > 0) return RunOutcome::kIsolated;
  return Refuse(victims, result.outcome);
}

// The first page of the run could not be isolated.
Evictor::RunOutcome Evictor::Refuse(const VictimRun& victims, PortOutcome outcome) {
  switch (outcome) {
    case PortOutcome::kRetry:
    case PortOutcome::kNoMemory:
      parts_.statistics->retries.Add();
      return RunOutcome::kStop;
    case PortOutcome::kGone:
      parts_.contents->NoteVanished(victims.first);
      parts_.policy->OnSkipped();
      return RunOutcome::kRefused;
    case PortOutcome::kBusy:
      parts_.statistics->busy_pages.Add();
      parts_.policy->OnRefused(victims.first);
      if (busy_count_ < kBusyMax) busy_[busy_count_++] = victims.address;
      return RunOutcome::kRefused;
    case PortOutcome::kRefused:
      parts_.statistics->refused_pages.Add();
      parts_.policy->OnRefused(victims.first);
      return RunOutcome::kRefused;
    case PortOutcome::kExists:
    case PortOutcome::kDone:
      break;
  }
  PanicOperands(__FILE__, __LINE__, "an Empty staging frame has content", victims.address,
                static_cast<uint64_t>(outcome));
}

void Evictor::BeginStore(size_t max, StoreBatch* batch) {
  batch->count = 0;
  const size_t most = std::min(max, kStoreBatchMax);
  while (batch->count < most && !frozen_) {
    const FrameId frame = parts_.contents->BeginStore();
    if (!frame.valid()) break;
    batch->frames[batch->count] = frame;
    batch->pages[batch->count] = parts_.frames->data(frame);
    batch->kept[batch->count] = parts_.frames->kept_slot(frame);
    ++batch->count;
  }
  storing_ += batch->count;
}

void Evictor::Store(StoreSink& sink, CacheContext& context, StoreBatch* batch,
                    KeptOnDisk kept_on_disk) {
  SwapSlot kept[kStoreBatchMax];
  size_t kept_count = 0;
  for (size_t i = 0; i < batch->count; ++i) {
    if (batch->kept[i].valid()) kept[kept_count++] = batch->kept[i];
  }
  const bool read = kept_count > 0 && kept_on_disk == KeptOnDisk::kRead;
  if (read) sink.ReadKept(context, {kept, kept_count});
  for (size_t i = 0; i < batch->count; ++i) {
    const ConstPageBytes page(batch->pages[i], kPageSize);
    batch->outcomes[i] = sink.Store(context, page, batch->kept[i]);
  }
}

size_t Evictor::FinishStore(const StoreBatch& batch) {
  size_t freed = 0;
  for (size_t i = 0; i < batch.count; ++i) {
    freed += FinishOne(batch.frames[i], batch.outcomes[i]) ? 1 : 0;
  }
  storing_ -= batch.count;
  ChargePool();
  return freed;
}

bool Evictor::FinishOne(FrameId frame, const StoredPage& stored) {
  Statistics& statistics = *parts_.statistics;
  const PageIndex owner = parts_.frames->owner(frame);
  switch (parts_.contents->FinishStore(frame, stored)) {
    case FinishOutcome::kStored:
      incompressible_streak_ = 0;
      parts_.policy->OnStored(owner);
      return true;
    case FinishOutcome::kLostRace:
      return true;
    case FinishOutcome::kIncompressible:
      ++incompressible_streak_;
      statistics.reject_compress_poor.Add();
      ReturnIncompressible(frame);
      return false;
    case FinishOutcome::kNoSpace:
      statistics.reject_alloc_fail.Add();
      statistics.pool_limit_hit.Add();
      return false;
  }
  return false;
}

// An incompressible page costs less in the program than in a frame.
void Evictor::ReturnIncompressible(FrameId frame) {
  const PageIndex owner = parts_.frames->owner(frame);
  const RegisteredRange* range = parts_.table->FindByIndex(owner);
  UZ_CHECK(range != nullptr);
  const PortResult result = parts_.mover->Return(range->AddressOf(owner), frame, 1);
  // After a refusal it stays Staged, where a fault finds it.
  if (result.outcome != PortOutcome::kDone) return;
  parts_.contents->NoteReturned(owner);
  parts_.policy->OnIncompressible(owner);
}

// What the pool took from the kernel since the last time is no headroom any more.
void Evictor::ChargePool() {
  const auto pages = static_cast<int64_t>(PagesWithin(parts_.sink->PoolBytes()).raw());
  parts_.headroom->Take(pages - pool_pages_);
  pool_pages_ = pages;
}

size_t Evictor::ReleaseFrames(size_t max) {
  size_t released = 0;
  // Twice as many tries as pages: each can need a BreakCow first.
  for (size_t tries = 2 * max; tries > 0 && released < max && !frozen_; --tries) {
    const StagingFrames::Run run =
        parts_.frames->FindToFree(std::min(max - released, PageMover::kBatchMax));
    if (run.count == 0) break;
    const PortResult result = parts_.mover->Release(run.first, run.count);
    const size_t done = result.done_bytes >> kPageShift;
    for (size_t i = 0; i < done; ++i) {
      parts_.frames->NoteReleased(FrameId(run.first.raw() + static_cast<uint32_t>(i)));
    }
    released += done;
    if (done > 0) continue;
    if (result.outcome != PortOutcome::kBusy) {
      parts_.statistics->retries.Add();
      break;
    }
    parts_.mover->BreakCow(run.first);
  }
  parts_.headroom->Give(static_cast<int64_t>(released));
  return released;
}

size_t Evictor::TakeBusyPages(std::span<uint64_t> addresses) {
  const size_t count = std::min(busy_count_, addresses.size());
  std::copy_n(busy_, count, addresses.begin());
  busy_count_ = 0;
  return count;
}

size_t Evictor::IsolatePages(std::span<const uint64_t> addresses) {
  size_t isolated = 0;
  for (const uint64_t address : addresses) {
    const RegisteredRange* range = parts_.table->Find(address);
    if (range == nullptr) continue;
    const PageIndex page = range->IndexOf(address);
    const PageEntry entry = parts_.table->entry(page);
    if (entry.state() != PageState::kResident || entry.pinned()) continue;
    const StagingFrames::Run run = parts_.frames->FindEmpty(1);
    if (frozen_ || run.count == 0) {
      parts_.policy->OnReclaimable(page);
    } else if (parts_.mover->Isolate(address, run.first, 1).outcome == PortOutcome::kDone) {
      parts_.contents->NoteIsolated(page, run.first);
      ++isolated;
    }
  }
  parts_.statistics->pages_taken.Add(isolated);
  return isolated;
}

}  // namespace uzswap
