// Cleaning: the part of BackingStore that rewrites the live records of sparse segments.
//
// A record is copied as it is, sealed or not: its bytes do not depend on its place. The old copy
// stays valid until the new one is written and the owner has taken it, so a failure loses nothing.
#include <cstring>

#include "backing/backing_store.h"

namespace uzswap {

CleanOutcome BackingStore::Clean(uint32_t permille, CleanOf of) {
  const uint32_t whole = of == CleanOf::kSpace ? segment_size_ : 0;
  const uint32_t segment = segments_.PickSparse(permille, batches_.OldestSerial(), whole);
  if (segment == SegmentTable::kNone) return CleanOutcome::kNothing;
  const uint32_t used = segments_.UsedOf(segment);
  const std::span<std::byte> bytes(clean_buffer_.data(), used);
  const int64_t got = own().port->Read(OffsetOf(segment), bytes);
  if (got < static_cast<int64_t>(used)) {
    counters_.read_errors.Add();
    // Not tried again before all batches in flight have ended.
    segments_.MarkCleaning(segment, batches_.next_serial());
    return CleanOutcome::kReadFailed;
  }
  const uint64_t recopied = counters_.objects_recopied.Get();
  const uint32_t generation = segments_.GenerationOf(segment);
  const CleanOutcome outcome = RecopyAll(segment, bytes);
  // The last record may still be in the batch that is being filled.
  uint64_t left_alone_for = batches_.next_serial() - 1;
  if (outcome == CleanOutcome::kReadFailed) {
    left_alone_for = UINT64_MAX;  // damaged
  } else if (outcome == CleanOutcome::kCleaned && counters_.objects_recopied.Get() == recopied) {
    // No record of the segment can move now. It would be picked again at once.
    left_alone_for += kRestBatches;
  }
  // It may have been emptied and taken for a copy.
  if (segments_.GenerationOf(segment) == generation) {
    segments_.MarkCleaning(segment, left_alone_for);
  }
  if (outcome == CleanOutcome::kCleaned) counters_.cleaned_segments.Add();
  return outcome;
}

CleanOutcome BackingStore::RecopyAll(uint32_t segment, std::span<const std::byte> bytes) {
  const std::span<std::byte> scratch(clean_buffer_.data() + segment_size_, kRecordBytesMax);
  for (uint32_t offset = 0; offset < bytes.size();) {
    const RecordView view = ReadRecord(bytes.subspan(offset), sealer(), scratch);
    if (view.outcome == RecordOutcome::kEnd) break;
    if (view.outcome != RecordOutcome::kOk) {
      // Damaged: the records behind it cannot be found either. Reading them reports the damage.
      counters_.corrupt_objects.Add();
      return CleanOutcome::kReadFailed;
    }
    const AppendOutcome outcome = Recopy(segment, offset, view, bytes.subspan(offset, view.bytes));
    if (outcome != AppendOutcome::kAppended) return CleanOutcome::kBlocked;
    offset += view.bytes;
  }
  return CleanOutcome::kCleaned;
}

AppendOutcome BackingStore::Recopy(uint32_t segment, uint32_t offset, const RecordView& view,
                                   std::span<const std::byte> record) {
  const auto size = static_cast<uint32_t>(view.payload.size());
  const uint64_t token = owner_->Wanted(view.key, DiskPlace(segment, offset, size));
  if (token == 0) return AppendOutcome::kAppended;
  // Before Reserve: if the record is released meanwhile, that may take this very segment.
  const uint32_t generation = segments_.GenerationOf(segment);
  if (const AppendOutcome outcome = Reserve(view.bytes, Purpose::kClean);
      outcome != AppendOutcome::kAppended) {
    return outcome;
  }
  Batch& batch = *filling_;
  memcpy(batch.bytes + batch.used, record.data(), view.bytes);
  batch.items[batch.count++] = {
      .key = view.key,
      .token = token,
      .place = DiskPlace(batch.segment, batch.used, size),
      .from = DiskPlace(segment, offset, size),
      .from_generation = generation,
  };
  batch.used += view.bytes;
  segments_.AddLive(batch.segment, view.bytes);
  counters_.objects_recopied.Add();
  counters_.recopied_bytes.Add(view.bytes);
  return AppendOutcome::kAppended;
}

}  // namespace uzswap
