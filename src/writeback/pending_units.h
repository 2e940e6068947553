// PendingUnits: units of the pool whose objects are in batches that have not ended yet.
//
//   Push -->  | unit, batch 7 | unit, batch 7 | unit, batch 8 |  --> PopBefore(8): two units
//              oldest                           youngest
//
// A ring of fixed size. Batches end in order, so only the oldest unit is looked at. The writer's
// thread only; no allocation after Init.
#ifndef UZSWAP_WRITEBACK_PENDING_UNITS_H_
#define UZSWAP_WRITEBACK_PENDING_UNITS_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "os/virtual_array.h"
#include "pool/pool.h"

namespace uzswap {

class PendingUnits {
 public:
  static constexpr uint32_t kMax = 4096;

  Result<void> Init() {
    Result<os::VirtualArray<Entry>> entries =
        os::VirtualArray<Entry>::Create(kMax, "units under writeback");
    if (!entries.ok()) return entries.error();
    entries_ = std::move(entries).value();
    return {};
  }

  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] bool full() const { return count_ == kMax; }
  // Frames of all pending units: they are freed when their batches end.
  [[nodiscard]] uint64_t frames() const { return frames_; }

  // Requires: !full(); `batch` is not smaller than that of the previous Push.
  void Push(const ReclaimUnit& unit, uint64_t batch) {
    UZ_CHECK(!full());
    entries_[(first_ + count_++) % kMax] = {unit, batch};
    frames_ += unit.frames;
  }
  // The oldest unit, if its batch is older than `batch`.
  std::optional<ReclaimUnit> PopBefore(uint64_t batch) {
    if (count_ == 0 || entries_[first_].batch >= batch) return std::nullopt;
    const ReclaimUnit unit = entries_[first_].unit;
    first_ = (first_ + 1) % kMax;
    --count_;
    frames_ -= unit.frames;
    return unit;
  }

 private:
  struct Entry {
    ReclaimUnit unit;
    uint64_t batch;  // the batch with the unit's last object
  };

  os::VirtualArray<Entry> entries_;
  uint32_t first_ = 0;
  uint32_t count_ = 0;
  uint64_t frames_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_WRITEBACK_PENDING_UNITS_H_
