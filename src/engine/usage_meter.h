// UsageMeter: what this process and its tree hold. It measures and publishes; it decides nothing.
//
//   RssAnon (statm) ─────────────┐     pages shared with forked relatives
//     program's resident pages   │       smaps_rollup, every 20 ms while there are any
//     staging frames             ├── minus ──> usage ──> session record ──> usage of the tree
//     pool frames                │                                             │
//     metadata (see below)       ┘                   headroom = target - usage of the tree
//
// RssAnon is the one measure that is charged. The tables, buffers and stacks of the engine are
// private anonymous mappings, so their present pages are in RssAnon, so also in the usage that the
// limit bounds: metadata_bytes is a part of resident_bytes, counted for information, and not
// added again (os/own_memory.h says when it is too large). Memory that the kernel allocates
// because of us but outside RssAnon (page tables, VMAs, userfaultfd contexts) is not charged.
//
// After a fork, parent and child both count the pages that they share. While there may be any, the
// kernel is asked for this process's share; when less than 1 MiB is shared it is not asked again.
// The frames of the pool and the tables are shared in the same way: what of them is in this
// process's share is found by a sample, because the rest of its share is its working set. Where
// nothing can be written, pools and tables count whole: they cannot become smaller, the limit
// cannot be kept, and a larger working set is what keeps the program going.
//
//   sharing:  no ──NoteFork──> yes ──share below 1 MiB──> no
//
// The daemon can be late: other programs have the processors, and meanwhile the program grows where
// nothing is registered. So the thread that serves faults refreshes the headroom, by the growth of
// RssAnon alone, when the last measurement is more than 2 ms old. The faults then do the work
// of the daemon (direct reclaim), and the program grows no faster than pages are stored.
//
// NoteFork: the forking thread. Refresh: the pager thread. All else: the reclaim daemon.
#ifndef UZSWAP_ENGINE_USAGE_METER_H_
#define UZSWAP_ENGINE_USAGE_METER_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/units.h"
#include "engine/session_member.h"
#include "os/pagemap.h"
#include "os/procfs.h"
#include "reclaim/watermarks.h"

namespace uzswap {

// Where the figures come from; tests replace it.
class UsageReaders {
 public:
  // RssAnon of this process.
  virtual Bytes AnonymousBytes() = 0;
  // How it is shared. Nothing if the kernel does not tell. Costs a walk over all pages.
  virtual std::optional<os::AnonymousSplit> AnonymousSplit() = 0;
  // Frames of the pool. Zero while the process is not managed.
  virtual Bytes PoolBytes() = 0;
  // How they are mapped: a sample. Costs a walk over some of them.
  virtual os::PageSharing PoolSharing() = 0;
  // Present pages of the engine's own tables, buffers and stacks. Costs a walk over them.
  virtual Bytes MetadataBytes() = 0;
  virtual os::PageSharing MetadataSharing() = 0;
  virtual uint64_t NowNs() = 0;

 protected:
  ~UsageReaders() = default;
};

struct Usage {
  Bytes anonymous;             // RssAnon
  Bytes own;                   // without what forked relatives count
  Bytes tree;                  // of all processes
  int64_t headroom_pages = 0;  // target - tree; negative: pages must go
  bool minor = false;          // this process holds much less than the others
  bool spared = false;         // headroom is for the working set: usage is above the target
};

class UsageMeter {
 public:
  static constexpr uint64_t kShareEveryNs = 20'000'000;
  static constexpr Bytes kSharedMin{1 << 20};
  static constexpr uint64_t kStaleNs = 2'000'000;

  // All must outlive the meter.
  void Init(UsageReaders& readers, SessionMember& member, Headroom& headroom,
            const Watermarks& watermarks);

  // The daemon.
  void SetWatermarks(const Watermarks& watermarks) { watermarks_ = watermarks; }

  // Measures, and publishes to the session record, the statistics and the headroom.
  Usage Measure();
  // Corrects the headroom for the growth since the last measurement, if that is old.
  void Refresh();
  // The metadata alone, into the statistics: at longer intervals, because it costs more.
  void MeasureMetadata();

  // Memory that this process uses elsewhere, for a while: it counts as its own. Any thread.
  void SetCharge(Bytes charge) { charge_.store(charge.raw(), std::memory_order_relaxed); }
  // The charge that the last measurement contains. Any thread.
  [[nodiscard]] Bytes charged() const { return Bytes(charged_.load(std::memory_order_acquire)); }

  // From now on pages may be shared with a parent or child.
  void NoteFork() { sharing_.store(true, std::memory_order_relaxed); }
  // In a forked child: the same, and the share is read at once.
  void ResetInChild();
  [[nodiscard]] bool sharing() const { return sharing_.load(std::memory_order_relaxed); }
  // Whether the pool can be made smaller, by writing. The daemon only.
  void SetPoolShrinks(bool shrinks) { pool_shrinks_ = shrinks; }
  // What of `pool`, all its frames, is in this process's share, and what is mapped by it alone. The
  // daemon only.
  [[nodiscard]] Bytes ShareOfPool(Bytes pool) const {
    return Bytes(pool.raw() * shares_.pool_per_mille / 1000);
  }
  [[nodiscard]] Bytes OwnOfPool(Bytes pool) const {
    return Bytes(pool.raw() * shares_.own_pool_per_mille / 1000);
  }
  // How many processes map a page that is shared, on average, times 1000. The daemon only.
  [[nodiscard]] uint64_t sharers_per_mille() const { return shares_.sharers_per_mille; }

 private:
  // What is shared with relatives, as it was read last.
  struct Shares {
    uint64_t read_ns = 0;
    Bytes of_others;  // subtracted since then
    uint64_t sharers_per_mille = 1000;
    // What part of the pool and of the metadata is in this process's share.
    uint64_t pool_per_mille = 1000;
    uint64_t own_pool_per_mille = 1000;
    uint64_t metadata_per_mille = 1000;
  };

  Bytes WithoutShared(Bytes anonymous);
  // Asks the kernel again what is shared.
  void ReadShares();
  // Leaves a small working set resident (watermarks.h).
  void SpareWorkingSet(Bytes pool, Usage* usage);

  UsageReaders* readers_ = nullptr;
  SessionMember* member_ = nullptr;
  Headroom* headroom_ = nullptr;
  Watermarks watermarks_;
  // Relaxed: set by forks, cleared by the daemon; it orders nothing.
  std::atomic<bool> sharing_{false};
  // The last measurement or refresh, for the pager thread. Relaxed: each is useful alone.
  std::atomic<uint64_t> measured_ns_{0};
  std::atomic<int64_t> full_at_pages_{0};  // RssAnon at which there is no headroom left
  std::atomic<uint64_t> charge_{0};        // relaxed: it orders nothing
  // Release, after the headroom was set: who sees it sees the headroom of that measurement.
  std::atomic<uint64_t> charged_{0};
  Shares shares_;
  bool pool_shrinks_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_USAGE_METER_H_
