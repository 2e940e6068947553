// BackingStore: compressed objects on a file or device, packed, verified, cleaned.
//
//   Append(key, token, object)                                   Read(place, key)
//        |                                                            ^
//        v                                                            |
//   | record | record | rec...   |  batch: a segment's worth          |  one aligned window,
//        |   full, or Flush                                           |  checked and opened
//        v                                                            |
//   [ in flight, up to the port's depth ] --> segment 7 of the file --+
//        |
//   Reap: owner.Written(key, token, place)  or  owner.WriteFailed(key, token)
//
// The store knows bytes, keys and places; what a key means and whether an object is still
// wanted is its owner's business (ObjectOwner), which it asks when a write has ended and when it
// cleans. Appending copies the object, so it may change or vanish the moment Append returns;
// nothing that is in flight is waited for by anybody but Reap(kWait).
//
// A place is published by Written and holds its bytes until Release. Releasing is a counter;
// segments that become empty are used again before the file grows, and Trim gives their space
// back. Clean rewrites the survivors of the sparsest segment into the batch being filled.
//
// Failing writes: the objects of the batch stay where they were (the owner is told). ENOSPC
// makes the store full until something is released (and is tried again now and then); EIO spoils
// the segment, which is never used again; a device that is gone, or four spoilt segments in a row,
// close the store for writing. Failing reads: kIoError with the errno in last_error(), kCorrupt or
// kMisplaced; never bytes.
//
// Writer side (Append to Trim, SetWearLimit): one thread at a time, the owner sees to that.
// Reader side (Read, Release, figures): any thread. No allocation after Init. System calls:
// Append and Flush submit, Reap may wait, Read waits, Clean reads a segment, Trim punches.
#ifndef UZSWAP_BACKING_BACKING_STORE_H_
#define UZSWAP_BACKING_BACKING_STORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backing/batch_set.h"
#include "backing/disk_place.h"
#include "backing/record.h"
#include "backing/sealer.h"
#include "backing/segment_table.h"
#include "backing/wear_budget.h"
#include "base/counter.h"
#include "os/io_port.h"

namespace uzswap {

// Who the objects belong to. Called by the writer's thread only, without locks of the store.
class ObjectOwner {
 public:
  // The object that was appended with `token` is at `place`. False: it is no longer wanted,
  // and the store releases the place. True: the owner will Release it one day.
  [[nodiscard]] virtual bool Written(uint64_t key, uint64_t token, DiskPlace place) = 0;
  // It is not: whatever the token stood for is still the only copy.
  virtual void WriteFailed(uint64_t key, uint64_t token) = 0;
  // The token under which the object at `place` would move, or 0 to leave it there.
  [[nodiscard]] virtual uint64_t Wanted(uint64_t key, DiskPlace place) = 0;

 protected:
  ~ObjectOwner() = default;
};

enum class [[nodiscard]] AppendOutcome : uint8_t{
    kAppended,
    kNoBuffer,    // depth() batches are in flight: Reap, then again
    kNoSpace,     // the size bound, or the medium is full
    kOverBudget,  // the wear limit of this period is used up
    kClosed,      // the device failed; nothing more is written
};

enum class [[nodiscard]] ReadOutcome : uint8_t{kOk, kIoError, kCorrupt, kMisplaced};

// A thread's buffers for reading: kMany windows, and room for one sealed payload. The payload of
// a ReadResult lives here until the next Read or Verify.
class ReadContext {
 public:
  static constexpr size_t kMany = 16;

  Result<void> Init();

 private:
  friend class BackingStore;
  static constexpr size_t kWindow = 3 * os::kIoAlignment;

  [[nodiscard]] std::byte* window(size_t i) const { return memory_.data() + i * kWindow; }
  [[nodiscard]] std::byte* scratch() const { return window(kMany); }

  os::Mapping memory_;
  os::IoRead reads_[kMany];
};

struct [[nodiscard]] ReadResult {
  ReadOutcome outcome = ReadOutcome::kIoError;
  int error = 0;
  CodecId codec = CodecId::kNone;
  std::span<const std::byte> payload;
};

enum class [[nodiscard]] CleanOutcome : uint8_t{
    kCleaned,  // survivors are appended, the segment empties once they are written
    kNothing,  // no segment is that sparse
    kBlocked,  // no buffer, no space or no budget for the survivors
    kReadFailed};

// clang-format off
#define UZ_BACKING_COUNTERS(X)                                                    \
  X(objects_appended, "objects handed over for writing")                          \
  X(payload_bytes, "their compressed bytes, without headers")                     \
  X(objects_written, "of these, objects whose place was taken by the owner")      \
  X(objects_unwanted, "of these, no longer wanted when the write had ended")      \
  X(objects_failed, "of these, objects whose write failed")                       \
  X(write_requests, "requests submitted")                                         \
  X(bytes_written, "their bytes, headers, padding and cleaning included")         \
  X(deepest_queue, "most requests in flight at once")                             \
  X(write_errors, "requests that failed")                                         \
  X(reads, "objects read back")                                                   \
  X(read_errors, "reads the device refused or cut short")                         \
  X(corrupt_objects, "reads that found damaged bytes")                            \
  X(misplaced_objects, "reads that found another object")                         \
  X(cleaned_segments, "sparse segments rewritten")                                \
  X(objects_recopied, "objects moved by that")                                    \
  X(recopied_bytes, "their record bytes")                                         \
  X(trimmed_segments, "empty segments whose space was given back")                \
  X(no_buffer, "appends put off because every batch was in flight")               \
  X(no_space, "appends refused at the size bound or on a full medium")            \
  X(over_budget, "appends refused by the wear limit")                             \
  X(refused_closed, "appends refused because the device failed")
// clang-format on

struct BackingCounters {
#define UZ_DECLARE(name, meaning) RelaxedCounter name;
  UZ_BACKING_COUNTERS(UZ_DECLARE)
#undef UZ_DECLARE
};

struct BackingOptions {
  uint64_t size_max = UINT64_MAX;     // bytes of the file; a device bounds itself
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
  AppendOutcome Append(uint64_t key, uint64_t token, CodecId codec, const ObjectView& object);
  // Submits what is appended but not yet submitted, full or not.
  void Flush();
  // Ends writes that have completed, telling the owner; with `wait`, at least one if any is in
  // flight. Returns how many.
  uint32_t Reap(bool wait);
  // Flush, and Reap until nothing is in flight.
  void Drain();
  // Rewrites the sparsest segment if less than `permille` of it lives.
  CleanOutcome Clean(uint32_t permille);
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
  // Takes at most so much space from now on, or what it was made for if that is less. Any thread.
  void SetSizeLimit(uint64_t bytes);
  void Tick(uint64_t now_ns) { wear_.Tick(now_ns); }
  // Batches are numbered as they are opened. All below oldest_batch() have ended; what was just
  // appended is in latest_batch().
  [[nodiscard]] uint64_t oldest_batch() const { return batches_.OldestSerial(); }
  [[nodiscard]] uint64_t latest_batch() const { return batches_.next_serial() - 1; }

  // --- Fork ---
  // The parent, before it forks, with nothing in flight: what is on the medium now stays there
  // until the child is gone or has let go (EndChild), whatever the parent does with it.
  void BeginChild();
  void EndChild() { segments_.Unhold(); }
  // In the child, before anything else: it reads what it inherited and writes nothing. (The file
  // is the parent's; what the child evicts stays in its pool.)
  void BecomeReader();

  // --- Any thread ---

  // Requires: `place` is published, and not released before Read returns.
  ReadResult Read(DiskPlace place, uint64_t key, ReadContext& context);
  // Reads many at once, at most ReadContext::kMany; then Verify gives each, one after another.
  // Requires: as Read, until each is verified.
  void ReadMany(std::span<const DiskPlace> places, ReadContext& context);
  ReadResult Verify(DiskPlace place, uint64_t key, size_t i, ReadContext& context);
  void Release(DiskPlace place);
  // What the record at `place` takes up.
  [[nodiscard]] uint32_t RecordBytesOf(DiskPlace place) const {
    return RecordBytes(place.size(), encrypt_);
  }

  [[nodiscard]] bool closed() const { return closed_.load(std::memory_order_relaxed); }
  [[nodiscard]] int last_error() const { return last_error_.load(std::memory_order_relaxed); }
  [[nodiscard]] const BackingCounters& counters() const { return counters_; }
  [[nodiscard]] const SegmentTable& segments() const { return segments_; }
  [[nodiscard]] uint32_t in_flight() const { return batches_.in_flight(); }
  [[nodiscard]] uint64_t file_bytes() { return port_->Occupied(); }

  // Requires: the writer's side is quiet.
  void Audit();
  // Stops writing for good, as if the device had gone.
  void Close(int error);

 private:
  static constexpr uint32_t kSpoiltInARowMax = 4;
  static constexpr uint32_t kFullRetryEvery = 256;
  // Batches to be written before a segment whose objects could not move is looked at again.
  static constexpr uint64_t kRestBatches = 64;

  // The aligned window around a record.
  [[nodiscard]] os::IoRead WindowOf(DiskPlace place, std::byte* to) const;
  [[nodiscard]] const Sealer* sealer() const { return encrypt_ ? &sealer_ : nullptr; }
  [[nodiscard]] Sealer* sealer() { return encrypt_ ? &sealer_ : nullptr; }
  // A batch with room for `bytes` more; anything but kAppended says why there is none.
  AppendOutcome Reserve(uint32_t bytes);
  AppendOutcome Refuse(AppendOutcome outcome);
  void Submit(Batch& batch);
  void End(Batch& batch);
  void EndFailed(Batch& batch);
  AppendOutcome Recopy(uint32_t segment, uint32_t offset, const RecordView& view,
                       std::span<const std::byte> record);
  // Appends what still lives among the records of a segment that lie in `bytes`.
  CleanOutcome RecopyAll(uint32_t segment, std::span<const std::byte> bytes);

  os::IoPort* port_ = nullptr;
  ObjectOwner* owner_ = nullptr;
  uint32_t segment_size_ = 0;
  bool encrypt_ = false;
  bool reader_ = false;  // a forked child
  BatchSet batches_;
  Batch* filling_ = nullptr;
  SegmentTable segments_;
  Sealer sealer_;
  WearBudget wear_;
  os::Mapping clean_buffer_;
  uint32_t spoilt_in_a_row_ = 0;
  uint64_t full_at_released_ = UINT64_MAX;  // released_ when the medium said ENOSPC
  uint32_t full_refusals_ = 0;
  RelaxedCounter released_;
  std::atomic<bool> closed_{false};  // set by the writer or Close, read by anybody
  std::atomic<int> last_error_{0};   // the errno of the latest failure, for messages
  BackingCounters counters_;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_BACKING_STORE_H_
