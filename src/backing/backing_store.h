// BackingStore: compressed objects on a file or device, packed, verified, cleaned.
//
//   Append(key, token, object)                                   Read(place, key)
//        |                                                            ^
//        v                                                            |
//   | record | record | rec...   |  batch: a segment's worth          |  one aligned window,
//        |   full, or Flush                                           |  verified and decrypted
//        v                                                            |
//   [ in flight, up to the port's depth ] --> segment 7 of the file --+
//        |
//   Reap: owner.Written(key, token, place)  or  owner.WriteFailed(key, token)
//
// The store knows bytes, keys and places. What a key means, and whether an object is still wanted,
// is the owner's business (ObjectOwner); the store asks it when a write ends and when it
// cleans. Append copies the object, so the caller may free it when Append returns. Only Reap with
// `wait` waits for requests in flight.
//
// A place is published by Written and holds its bytes until Release. Release lowers the live bytes
// of the segment. Empty segments are used again before the file grows, and Trim gives their
// space back. Clean copies the live records of the sparsest segment into the current batch.
//
// Fork: a child reads what it inherited, from the file of its parent. Later it may get a file of
// its own, which it writes. Its children read both. Each file has the segments from `first` on:
//
//    file 0: of the first process      file 1: of its child           file 2: of this process
//    | segment 0 ... segment 40 |      | segment 41 ... segment 52 |  | segment 53 ...
//      inherited, and only read                                         own
//
// Failed writes: the owner is told, and its copies stay valid; see write_health.h for the rest.
// Failed reads: kIoError with the errno in last_error(), kCorrupt or kMisplaced; never bytes.
//
// Writer side (Append to Trim, SetWearLimit): one thread at a time, the owner ensures that.
// Reader side (Read, Release, figures): any thread. No allocation after Init. System calls:
// Append and Flush submit, Reap may wait, Read waits, Clean reads a segment, Trim punches holes.
//
// Size: 15 members and 60 methods. Writer and readers share segments and files; cleaning needs the
// batch that is being filled. A third of the methods are one-line accessors.
#ifndef UZSWAP_BACKING_BACKING_STORE_H_
#define UZSWAP_BACKING_BACKING_STORE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backing/backing_counters.h"
#include "backing/batch_set.h"
#include "backing/disk_place.h"
#include "backing/object_owner.h"
#include "backing/read_context.h"
#include "backing/record.h"
#include "backing/sealer.h"
#include "backing/segment_table.h"
#include "backing/wear_budget.h"
#include "backing/write_health.h"
#include "base/counter.h"
#include "base/reservation.h"
#include "os/io_port.h"

namespace uzswap {

enum class [[nodiscard]] AppendOutcome : uint8_t{
    kAppended,
    kNoBuffer,    // depth() batches are in flight: Reap, then try again
    kNoSpace,     // the size bound, or the medium is full
    kOverBudget,  // the wear limit of this period is used up
    kClosed,      // the device failed; nothing more is written
};

enum class [[nodiscard]] CleanOutcome : uint8_t{
    kCleaned,  // the live records are appended; the segment is empty once they are written
    kNothing,  // no segment is that sparse
    kBlocked,  // no buffer, no space or no budget for the live records
    kReadFailed};

struct BackingOptions {
  uint64_t size_max = UINT64_MAX;     // bytes of the file on the disk; a device bounds itself
  uint32_t segment_size = 256 << 10;  // a power of two, 64 KiB to 256 KiB
  bool encrypt = false;
};

class BackingStore {
 public:
  BackingStore() = default;
  ~BackingStore();
  BackingStore(const BackingStore&) = delete;
  BackingStore& operator=(const BackingStore&) = delete;

  // `port` and `owner` must outlive the store.
  Result<void> Init(os::IoPort& port, ObjectOwner& owner, const BackingOptions& options);

  // --- The writer's side ---

  // Requires: token != 0; 0 < object.size() <= kRecordPayloadMax.
  AppendOutcome Append(uint64_t key, uint64_t token, Encoding encoding, const ObjectView& object);
  // Submits the batch that is being filled, full or not.
  void Flush();
  // Ends completed writes and tells the owner. With `wait`: waits until at least one has completed,
  // if any is in flight. Returns how many ended.
  uint32_t Reap(bool wait);
  // Flush, and Reap until nothing is in flight.
  void WaitForWrites();
  // True if Append has a segment to open its next batch in.
  [[nodiscard]] bool HasRoom();
  // Rewrites the sparsest segment if less than `permille` of it is live: of what is written in it,
  // or of its space.
  enum class CleanOf : uint8_t { kWritten, kSpace };
  CleanOutcome Clean(uint32_t permille, CleanOf of = CleanOf::kWritten);
  [[nodiscard]] bool writing_is_limited() const { return wear_.limited(); }
  [[nodiscard]] bool writing_is_allowed() const { return wear_.Allows(); }
  // Space in segments that are in use which holds nothing live, or is not written.
  [[nodiscard]] uint64_t wasted_bytes() const {
    const uint64_t space = uint64_t{segments_.in_use()} * segment_size_;
    return space - std::min(space, segments_.live_bytes());
  }
  [[nodiscard]] uint32_t segment_size() const { return segment_size_; }
  // Gives the space of empty segments back, leaving `keep` for the next writes.
  void Trim(uint32_t keep);
  // As Trim, for one segment. False if there was none.
  bool TrimOne(uint32_t keep);
  // At most `bytes` in each period of `period_ns`; 0 lifts the limit. `now_ns` is any clock.
  // With `account` the limit is shared with others (see wear_budget.h).
  void SetWearLimit(uint64_t bytes, uint64_t period_ns, uint64_t now_ns,
                    WearAccount* account = nullptr) {
    wear_.Limit(bytes, period_ns, now_ns, account);
  }
  // Another limit with the same account. Any thread, after SetWearLimit.
  void ChangeWearLimit(uint64_t bytes, uint64_t period_ns) { wear_.Change(bytes, period_ns); }
  // Bounds the space on the medium from now on; options.size_max still holds. Any thread.
  void SetSizeLimit(uint64_t bytes);
  // Of a size that other processes share. Segments are reserved in it before they are written.
  [[nodiscard]] Reservation& space() { return space_; }
  // What should be reserved: for the segments on the medium and for those that cleaning needs. Any
  // thread.
  [[nodiscard]] uint64_t needed_bytes() {
    return SpaceOf(segments_.AllocatedWith(SpareSegments()));
  }
  void Tick(uint64_t now_ns) { wear_.Tick(now_ns); }
  // Batches are numbered as they are opened. All below oldest_batch() have ended; the last appended
  // object is in latest_batch().
  [[nodiscard]] uint64_t oldest_batch() const { return batches_.OldestSerial(); }
  [[nodiscard]] uint64_t latest_batch() const { return batches_.next_serial() - 1; }

  // --- Fork ---
  // In the parent before it forks, with nothing in flight. What is on the medium now stays there
  // until EndChild, also if the parent releases it: the child may still read it.
  void BeginChild();
  void EndChild() { segments_.Unhold(); }
  // In the child, before anything else: it reads what it inherited, and writes nothing, because the
  // file is the parent's. What the child evicts stays in its pool. `ports[i]` reads file i;
  // there are file_count() of them.
  void BecomeReader(std::span<os::IoPort* const> ports);
  // Later, once: it writes to `port`, a file of its own. Any thread may read meanwhile. Fails, and
  // changes nothing, if there is no memory for a key. Requires: BecomeReader was called; no thread
  // is on the writer's side; MayBecomeWriter().
  Result<void> BecomeWriter(os::IoPort& port);
  // False where descendants could not read all of the files.
  [[nodiscard]] bool MayBecomeWriter() const { return file_count() < os::kFilesReadMax; }
  // Files that have, or had, segments: the last one is this process's own if it writes.
  [[nodiscard]] size_t file_count() const { return own_.load(std::memory_order_acquire) + 1; }
  // False if nothing in it is live, as far as that is known without a walk over its segments.
  [[nodiscard]] bool MayBeRead(size_t file) const {
    const bool own = file + 1 == file_count() && !reader_;
    return own ? segments_.in_use() > 0 : segments_.inherited_live_bytes() > 0;
  }

  // --- Any thread ---

  // Requires: `place` is published, and not released before Read returns.
  ReadResult Read(DiskPlace place, uint64_t key, ReadContext& context);
  // Reads many at once, at most ReadContext::kMany; then Verify returns them one by one.
  // Requires: as Read, until each is verified.
  void ReadMany(std::span<const DiskPlace> places, ReadContext& context);
  ReadResult Verify(DiskPlace place, uint64_t key, size_t i, ReadContext& context);
  void Release(DiskPlace place);
  // A published place names the same record as long as this does not change.
  [[nodiscard]] uint32_t GenerationOf(DiskPlace place) const {
    return segments_.GenerationOf(place.segment());
  }
  // Bytes of the record at `place`.
  [[nodiscard]] uint32_t RecordBytesOf(DiskPlace place) const {
    return RecordBytes(place.size(), encrypt_);
  }

  [[nodiscard]] bool closed() const { return health_.closed(); }
  [[nodiscard]] int last_error() const { return health_.last_error(); }
  [[nodiscard]] const BackingCounters& counters() const { return counters_; }
  [[nodiscard]] const SegmentTable& segments() const { return segments_; }
  [[nodiscard]] uint32_t in_flight() const { return batches_.in_flight(); }
  [[nodiscard]] uint64_t file_bytes() { return own().port->Occupied(); }

  // Requires: no thread is on the writer's side.
  void Audit();
  // Stops writing for good, as if the device had gone.
  void Close(int error) { health_.Close(error); }

 private:
  static constexpr uint32_t kSpareSegments = 2;
  enum class Purpose : uint8_t { kStore, kClean };
  // Batches to be written before a segment whose objects could not move is looked at again.
  static constexpr uint64_t kRestBatches = 64;

  // Each has a key of its own: two processes that seal with one key would use a nonce twice.
  struct File {
    os::IoPort* port = nullptr;
    uint32_t first = 0;  // segment
    Sealer sealer;
  };
  [[nodiscard]] File& own() { return files_[own_.load(std::memory_order_relaxed)]; }
  [[nodiscard]] const File& FileOf(uint32_t segment) const {
    size_t file = own_.load(std::memory_order_acquire);
    while (segment < files_[file].first) --file;
    return files_[file];
  }
  [[nodiscard]] uint64_t OffsetOf(uint32_t segment) const {
    return uint64_t{segment - FileOf(segment).first} * segment_size_;
  }
  // The aligned window around a record.
  [[nodiscard]] os::IoRead WindowOf(DiskPlace place, std::byte* to) const;
  [[nodiscard]] const Sealer* SealerOf(uint32_t segment) const {
    return encrypt_ ? &FileOf(segment).sealer : nullptr;
  }
  [[nodiscard]] Sealer* sealer() { return encrypt_ ? &own().sealer : nullptr; }
  // Makes room for `bytes` in the current batch. Any outcome but kAppended says why there is none.
  AppendOutcome Reserve(uint32_t bytes, Purpose purpose);
  AppendOutcome Refuse(AppendOutcome outcome);
  uint32_t TakeSegment(Purpose purpose);
  // True if segments beyond those with space on the medium may be given some.
  [[nodiscard]] bool MayGrow(uint32_t spare);
  // Segments that only cleaning may take: without one to copy to, a store that is full of sparse
  // segments would stay full.
  [[nodiscard]] uint32_t SpareSegments() const {
    return std::min(segments_.limit() / 3, kSpareSegments);
  }
  // A file takes blocks of the disk for the list of its extents too. ext4 has four extents in the
  // inode, and 340 in each further block. A segment is one extent, or several where the disk is
  // fragmented.
  static constexpr uint64_t kListBytes = 4096;
  static constexpr uint64_t kListBytesPerSegment = 128;
  [[nodiscard]] uint64_t SpaceOf(uint32_t segments) const {
    return kListBytes + segments * (segment_size_ + kListBytesPerSegment);
  }
  [[nodiscard]] uint64_t SegmentsWithin(uint64_t bytes) const {
    if (bytes <= kListBytes) return 0;
    return (bytes - kListBytes) / (segment_size_ + kListBytesPerSegment);
  }
  void Submit(Batch& batch);
  void End(Batch& batch);
  void EndFailed(Batch& batch);
  // The place that a copy was made from has another record by now.
  [[nodiscard]] bool IsOutdated(const BatchItem& item);
  AppendOutcome Recopy(uint32_t segment, uint32_t offset, const RecordView& view,
                       std::span<const std::byte> record);
  // Appends the live records among those in `bytes`, which were read from `segment`.
  CleanOutcome RecopyAll(uint32_t segment, std::span<const std::byte> bytes);

  ObjectOwner* owner_ = nullptr;
  uint32_t segment_size_ = 0;
  bool encrypt_ = false;
  bool reader_ = false;  // a forked child that has no file of its own
  File files_[os::kFilesReadMax];
  // The last file. Release: who sees the number sees the file. Readers acquire; a place in it is
  // published later.
  std::atomic<size_t> own_{0};
  BatchSet batches_;
  Batch* filling_ = nullptr;
  bool filling_spare_ = false;  // its segment is one that only cleaning may take
  SegmentTable segments_;
  Reservation space_;
  WearBudget wear_;
  os::Mapping clean_buffer_;
  WriteHealth health_;
  BackingCounters counters_;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_BACKING_STORE_H_
