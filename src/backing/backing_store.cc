#include "backing/backing_store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace uzswap {
namespace {

constexpr uint64_t kSegmentsMax = uint64_t{1} << DiskPlace::kSegmentBits;

constexpr bool IsPowerOfTwo(uint32_t value) { return (value & (value - 1)) == 0; }
constexpr uint32_t RoundUpToIo(uint32_t bytes) {
  return (bytes + os::kIoAlignment - 1) & ~uint32_t{os::kIoAlignment - 1};
}

}  // namespace

Result<void> ReadContext::Init() {
  Result<os::Mapping> memory =
      os::Mapping::Create(Bytes(kMany * kWindow + RoundUpToPage(kRecordBytesMax)), "read windows");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  memory_.WipeInChildren();
  return {};
}

BackingStore::~BackingStore() {
  UZ_CHECK_EQ(batches_.in_flight(), 0u);
  UZ_CHECK(filling_ == nullptr);
}

Result<void> BackingStore::Init(os::IoPort& port, ObjectOwner& owner,
                                const BackingOptions& options) {
  UZ_CHECK(owner_ == nullptr);
  UZ_CHECK(IsPowerOfTwo(options.segment_size) && options.segment_size >= (64 << 10) &&
           options.segment_size <= DiskPlace::kUnit << DiskPlace::kUnitBits);
  segment_size_ = options.segment_size;
  const uint64_t count = std::min(
      {SegmentsWithin(options.size_max), port.capacity() / segment_size_, kSegmentsMax - 1});
  if (count < 2) return Error{ENOSPC, "the backing store is smaller than two segments"};
  const uint32_t depth = std::min(port.depth(), BatchSet::kBatchesMax);
  const uint64_t rows = std::min(count * os::kFilesReadMax, kSegmentsMax - 1);
  if (Result<void> done = segments_.Init(static_cast<uint32_t>(count), static_cast<uint32_t>(rows));
      !done.ok()) {
    return done;
  }
  if (Result<void> done = batches_.Init(depth, options.segment_size); !done.ok()) return done;
  Result<os::Mapping> buffer = os::Mapping::Create(
      Bytes(options.segment_size + RoundUpToPage(kRecordBytesMax)), "buffer for cleaning segments");
  if (!buffer.ok()) return buffer.error();
  if (options.encrypt) {
    if (Result<void> done = own().sealer.Init(); !done.ok()) return done;
  }
  clean_buffer_ = std::move(buffer).value();
  clean_buffer_.WipeInChildren();
  encrypt_ = options.encrypt;
  port.Prepare(batches_.buffers(), options.segment_size);
  owner_ = &owner;
  own().port = &port;
  return {};
}

AppendOutcome BackingStore::Refuse(AppendOutcome outcome) {
  switch (outcome) {
    case AppendOutcome::kAppended:
      break;
    case AppendOutcome::kNoBuffer:
      counters_.no_buffer.Add();
      break;
    case AppendOutcome::kNoSpace:
      counters_.no_space.Add();
      break;
    case AppendOutcome::kOverBudget:
      counters_.over_budget.Add();
      break;
    case AppendOutcome::kClosed:
      counters_.refused_closed.Add();
      break;
  }
  return outcome;
}

AppendOutcome BackingStore::Reserve(uint32_t bytes, Purpose purpose) {
  if (closed()) return Refuse(AppendOutcome::kClosed);
  if (filling_ != nullptr) {
    if (purpose == Purpose::kStore && filling_spare_) {
      // They would use up the segment that cleaning has taken.
      if (!HasRoom()) return Refuse(AppendOutcome::kNoSpace);
      filling_spare_ = false;
    }
    const bool fits =
        filling_->used + bytes <= segment_size_ && filling_->count < BatchSet::kItemsMax;
    if (fits) return AppendOutcome::kAppended;
    Flush();
  }
  if (!wear_.Allows()) return Refuse(AppendOutcome::kOverBudget);
  if (!health_.MayTry()) return Refuse(AppendOutcome::kNoSpace);
  Batch* batch = batches_.TakeIdle();
  if (batch == nullptr) return Refuse(AppendOutcome::kNoBuffer);
  const bool spare = purpose == Purpose::kClean && !HasRoom();
  batch->segment = TakeSegment(purpose);
  if (batch->segment == SegmentTable::kNone) {
    batches_.PutIdle(*batch);
    return Refuse(AppendOutcome::kNoSpace);
  }
  filling_ = batch;
  filling_spare_ = spare;
  return AppendOutcome::kAppended;
}

bool BackingStore::MayGrow(uint32_t spare) {
  return space_.Cover(SpaceOf(segments_.AllocatedWith(spare + 1)));
}

// Only this thread allocates segments, so nothing is added between the two calls.
uint32_t BackingStore::TakeSegment(Purpose purpose) {
  const uint32_t spare = purpose == Purpose::kClean ? 0 : SpareSegments();
  return segments_.Take(spare, MayGrow(spare));
}

bool BackingStore::HasRoom() {
  return segments_.HasMoreThan(SpareSegments(), MayGrow(SpareSegments()));
}

AppendOutcome BackingStore::Append(uint64_t key, uint64_t token, Encoding encoding,
                                   const ObjectView& object) {
  UZ_CHECK(token != 0);
  const auto size = static_cast<uint32_t>(object.size());
  const uint32_t bytes = RecordBytes(size, encrypt_);
  if (const AppendOutcome outcome = Reserve(bytes, Purpose::kStore);
      outcome != AppendOutcome::kAppended) {
    return outcome;
  }
  Batch& batch = *filling_;
  WriteRecord({batch.bytes + batch.used, bytes}, key, encoding, object, sealer());
  batch.items[batch.count++] = {
      .key = key,
      .token = token,
      .place = DiskPlace(batch.segment, batch.used, size),
      .from = {},
      .from_generation = 0,
  };
  batch.used += bytes;
  segments_.AddLive(batch.segment, bytes);
  counters_.objects_appended.Add();
  counters_.payload_bytes.Add(size);
  return AppendOutcome::kAppended;
}

void BackingStore::Flush() {
  if (filling_ == nullptr) return;
  Batch& batch = *filling_;
  filling_ = nullptr;
  Submit(batch);
}

void BackingStore::Submit(Batch& batch) {
  const uint32_t length = RoundUpToIo(batch.used);
  memset(batch.bytes + batch.used, 0, length - batch.used);
  batch.request.offset = OffsetOf(batch.segment);
  batch.request.length = length;
  wear_.Charge(length);
  counters_.write_requests.Add();
  counters_.bytes_written.Add(length);
  batches_.NoteSubmitted();
  counters_.deepest_queue.RaiseTo(batches_.in_flight());
  const bool accepted = own().port->Submit(batch.request);
  UZ_CHECK(accepted);  // there are no more batches than the port's depth
}

uint32_t BackingStore::Reap(bool wait) {
  uint32_t ended = 0;
  while (os::IoRequest* request = own().port->Reap(wait && ended == 0)) {
    Batch& batch = Batch::Of(*request);
    batches_.NoteReaped();
    if (request->error == 0) {
      End(batch);
    } else {
      EndFailed(batch);
    }
    batches_.PutIdle(batch);
    ++ended;
  }
  return ended;
}

void BackingStore::End(Batch& batch) {
  health_.NoteWritten();
  segments_.Seal(batch.segment, batch.request.length);
  for (uint32_t i = 0; i < batch.count; ++i) {
    const BatchItem& item = batch.items[i];
    if (!IsOutdated(item) && owner_->Written(item.key, item.token, item.place)) {
      counters_.objects_written.Add();
    } else {
      counters_.objects_unwanted.Add();
      Release(item.place);
    }
  }
}

// Requests may complete in any order. The record that was copied may be gone, its segment may have
// been written again, and a newer object of the same key and size may be at the same place by now.
// For the owner it would be the one that was copied.
bool BackingStore::IsOutdated(const BatchItem& item) {
  if (!item.from.valid()) return false;
  if (GenerationOf(item.from) == item.from_generation) return false;
  counters_.copies_outdated.Add();
  return true;
}

void BackingStore::EndFailed(Batch& batch) {
  counters_.write_errors.Add();
  counters_.objects_failed.Add(batch.count);
  segments_.Spoil(batch.segment, health_.NoteWriteFailed(batch.request.error));
  for (uint32_t i = 0; i < batch.count; ++i) {
    owner_->WriteFailed(batch.items[i].key, batch.items[i].token);
  }
}

void BackingStore::WaitForWrites() {
  Flush();
  while (Reap(true) > 0) {
  }
}

void BackingStore::BeginChild() {
  UZ_CHECK(filling_ == nullptr);
  UZ_CHECK_EQ(batches_.in_flight(), 0u);
  segments_.Hold();
}

void BackingStore::BecomeReader(std::span<os::IoPort* const> ports) {
  UZ_CHECK_EQ(ports.size(), file_count());
  for (size_t i = 0; i < ports.size(); ++i) files_[i].port = ports[i];
  segments_.ResetAfterFork();
  reader_ = true;
  space_.ResetInChild();
  Close(EROFS);
}

Result<void> BackingStore::BecomeWriter(os::IoPort& port) {
  UZ_CHECK(reader_);
  UZ_CHECK_EQ(batches_.in_flight(), 0u);
  UZ_CHECK(MayBecomeWriter());
  const size_t next = file_count();
  File& file = files_[next];
  if (encrypt_) {
    if (Result<void> done = file.sealer.Init(); !done.ok()) return done;
  }
  file.port = &port;
  file.first = segments_.first();
  own_.store(next, std::memory_order_release);
  reader_ = false;
  health_.Reopen();
  return {};
}

void BackingStore::Trim(uint32_t keep) {
  while (TrimOne(keep)) {
  }
}

bool BackingStore::TrimOne(uint32_t keep) {
  if (reader_) return false;  // only the parent gives space back
  const uint32_t segment = segments_.Trim(keep);
  if (segment == SegmentTable::kNone) return false;
  own().port->Discard(OffsetOf(segment), segment_size_);
  counters_.trimmed_segments.Add();
  return true;
}

void BackingStore::SetSizeLimit(uint64_t bytes) {
  segments_.SetLimit(static_cast<uint32_t>(std::min(SegmentsWithin(bytes), kSegmentsMax)));
}

void BackingStore::Release(DiskPlace place) {
  segments_.Release(place.segment(), RecordBytes(place.size(), encrypt_));
  health_.NoteReleased();
}

os::IoRead BackingStore::WindowOf(DiskPlace place, std::byte* to) const {
  const uint64_t at = OffsetOf(place.segment()) + place.offset();
  const uint64_t first = at & ~uint64_t{os::kIoAlignment - 1};
  const size_t length = RoundUpToPage(static_cast<size_t>(at - first) + RecordBytesOf(place));
  UZ_CHECK_LE(length, ReadContext::kWindow);
  return {.offset = first, .to = {to, length}};
}

ReadResult BackingStore::Read(DiskPlace place, uint64_t key, ReadContext& context) {
  ReadMany({&place, 1}, context);
  return Verify(place, key, 0, context);
}

void BackingStore::ReadMany(std::span<const DiskPlace> places, ReadContext& context) {
  UZ_CHECK_LE(places.size(), ReadContext::kMany);
  counters_.reads.Add(places.size());
  os::IoPort* const port = FileOf(places[0].segment()).port;
  bool one_file = true;
  for (size_t i = 0; i < places.size(); ++i) {
    context.reads_[i] = WindowOf(places[i], context.window(i));
    one_file &= FileOf(places[i].segment()).port == port;
  }
  if (one_file && places.size() > 1) {
    port->ReadMany({context.reads_, places.size()});
    return;
  }
  for (size_t i = 0; i < places.size(); ++i) {
    os::IoRead& read = context.reads_[i];
    read.got = FileOf(places[i].segment()).port->Read(read.offset, read.to);
  }
}

ReadResult BackingStore::Verify(DiskPlace place, uint64_t key, size_t i, ReadContext& context) {
  const os::IoRead& read = context.reads_[i];
  const uint32_t bytes = RecordBytesOf(place);
  const size_t skip = place.offset() % os::kIoAlignment;
  if (read.got < static_cast<int64_t>(skip + bytes)) {
    const int error = read.got < 0 ? static_cast<int>(-read.got) : ENODATA;
    counters_.read_errors.Add();
    health_.NoteReadFailed(error);
    return {ReadOutcome::kIoError, error, {}, {}};
  }
  const RecordView view = ReadRecord(read.to.subspan(skip, bytes), SealerOf(place.segment()),
                                     {context.scratch(), kRecordBytesMax});
  if (view.outcome != RecordOutcome::kOk || view.payload.size() != place.size()) {
    counters_.corrupt_objects.Add();
    return {ReadOutcome::kCorrupt, 0, {}, {}};
  }
  if (view.key != key) {
    counters_.misplaced_objects.Add();
    return {ReadOutcome::kMisplaced, 0, {}, {}};
  }
  return {ReadOutcome::kOk, 0, view.encoding, view.payload};
}

void BackingStore::Audit() { segments_.Audit(); }

}  // namespace uzswap
