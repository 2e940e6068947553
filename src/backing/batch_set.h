// BatchSet: buffers that collect records and are written in one request each.
//
//   idle (last in, first out: few buffers are ever touched) --> filling --> in flight --> idle
//
// There are as many as the port's depth, so every filled batch can be submitted. A batch keeps for
// each record its key, the token it was appended with, and its place. Everything is reserved in
// Init. Only the writer uses it, except for in_flight().
#ifndef UZSWAP_BACKING_BATCH_SET_H_
#define UZSWAP_BACKING_BATCH_SET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backing/disk_place.h"
#include "base/result.h"
#include "os/io_port.h"
#include "os/virtual_array.h"

namespace uzswap {

struct BatchItem {
  uint64_t key;
  uint64_t token;
  DiskPlace place;
  // Of a record that the cleaner copies: where it was, and the generation of that segment.
  DiskPlace from;
  uint32_t from_generation;
};

struct Batch {
  os::IoRequest request;  // must stay first: see Of
  uint32_t segment;
  uint32_t used;    // bytes of records
  uint64_t serial;  // counts batches; 0 while idle
  uint32_t count;   // of items
  BatchItem* items;
  std::byte* bytes;
  Batch* next_idle;

  static Batch& Of(os::IoRequest& request) { return reinterpret_cast<Batch&>(request); }
};
static_assert(offsetof(Batch, request) == 0);

class BatchSet {
 public:
  // A record takes at least 32 bytes, typically hundreds. With so many a batch counts as full.
  static constexpr uint32_t kItemsMax = 2048;
  static constexpr uint32_t kBatchesMax = 64;

  Result<void> Init(uint32_t count, uint32_t segment_size);

  // nullptr when none is idle.
  [[nodiscard]] Batch* TakeIdle();
  void PutIdle(Batch& batch);
  void NoteSubmitted() { in_flight_.fetch_add(1, std::memory_order_relaxed); }
  void NoteReaped() { in_flight_.fetch_sub(1, std::memory_order_relaxed); }

  [[nodiscard]] uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::span<std::byte> buffers() const { return {buffers_.data(), buffers_.size()}; }
  // The serial of the oldest batch that is not idle, or of the next one.
  [[nodiscard]] uint64_t OldestSerial() const;
  [[nodiscard]] uint64_t next_serial() const { return next_serial_; }

 private:
  os::Mapping buffers_;
  os::VirtualArray<BatchItem> items_;
  Batch batches_[kBatchesMax] = {};
  uint32_t count_ = 0;
  Batch* idle_ = nullptr;
  uint64_t next_serial_ = 1;
  std::atomic<uint32_t> in_flight_{0};  // changed by the writer, read by any thread; orders nothing
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_BATCH_SET_H_
