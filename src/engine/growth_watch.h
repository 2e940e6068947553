// GrowthWatch: looks after the program's growth while the reclaim daemon is late.
//
// The daemon measures usage and registers new mappings. When other programs have the processors, it
// can wait for one much longer than it asked for, and meanwhile the program grows where nothing is
// registered. The thread that serves faults has little to do then: it looks instead.
//
//   daemon        ──Expect(pause)──>  expected = now + pause
//   pager thread  TimeoutMs ─> waits for messages ─> CheckLate
//                                                     │ now < expected + 2 ms: not late
//                                                     │ refresh the headroom
//                                                     │ 64 unregistered pages more than at the
//                                                     └ least: scan the mappings
//
// What is registered causes faults, and the pager makes a fault beyond the limit wait until pages
// are stored. So the program then grows no faster than memory is reclaimed.
//
// A scan of many mappings takes long, and faults wait meanwhile: the next one follows after
// kPauseFactor times as long.
//
// Expect: the reclaim daemon. All else: the pager thread.
#ifndef UZSWAP_ENGINE_GROWTH_WATCH_H_
#define UZSWAP_ENGINE_GROWTH_WATCH_H_

#include <atomic>
#include <cstdint>

#include "engine/unregistered_growth.h"

namespace uzswap {

// What the watch sees and does; tests replace it.
class GrowthPort {
 public:
  virtual uint64_t NowNs() = 0;
  // Sets the headroom again if the last measurement is old.
  virtual void RefreshHeadroom() = 0;
  // RssAnon minus what is registered or ours, in pages.
  virtual int64_t UnregisteredPages() = 0;
  virtual void ScanMappings() = 0;

 protected:
  ~GrowthPort() = default;
};

class GrowthWatch {
 public:
  static constexpr uint64_t kLateNs = 2'000'000;
  static constexpr uint64_t kPauseFactor = 8;
  static constexpr int kTimeoutMaxMs = 1000;

  // The port must outlive the watch.
  void Init(GrowthPort& port) { port_ = &port; }
  // In a forked child, before its engine threads start.
  void ResetInChild() { expected_ns_.store(0, std::memory_order_relaxed); }

  // The daemon will measure again in `pause_ns`.
  void Expect(uint64_t pause_ns) {
    // Relaxed: a time by itself.
    expected_ns_.store(port_->NowNs() + pause_ns, std::memory_order_relaxed);
  }

  // How long the pager thread may wait for messages.
  [[nodiscard]] int TimeoutMs() const;
  enum class Outcome : uint8_t { kNotLate, kLooked, kScanned };
  Outcome CheckLate();

 private:
  [[nodiscard]] uint64_t NextLookNs() const;

  GrowthPort* port_ = nullptr;
  std::atomic<uint64_t> expected_ns_{0};  // 0: the daemon has not begun
  uint64_t not_before_ns_ = 0;
  UnregisteredGrowth growth_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_GROWTH_WATCH_H_
