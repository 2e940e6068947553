// DaemonUrgency: when the reclaim daemon is a real-time thread (docs/decisions/0034).
//
//     contended (contention.h): real-time
//
//     otherwise:
//     watching ──little headroom──> at work ──usage above the limit──> over
//     real-time <──much headroom─── nice -10 <──below it again──────── real-time
//
// While there is much headroom the daemon only measures, from time to time, which takes
// microseconds. If that comes late, memory that grows is not seen. With little headroom it works
// often, and the higher priority would take the processor of the program. The first reclaim after
// activation is like that above the limit: the program grows, and the kernel may end it. There the
// daemon computes for long: after kBurstMaxNs it is an ordinary thread again, until usage is below
// the limit.
//
// While the daemon waits for another thread of the engine, it must not keep that thread from its
// processor: Lower comes first, and the next step decides again. One thread: the daemon.
#ifndef UZSWAP_ENGINE_DAEMON_URGENCY_H_
#define UZSWAP_ENGINE_DAEMON_URGENCY_H_

#include <cstdint>

#include "os/thread.h"

namespace uzswap {

class DaemonUrgency {
 public:
  static constexpr uint64_t kBurstMaxNs = 200'000'000;
  // A pause for so long means much headroom (PollIntervalNs).
  static constexpr uint64_t kWatchingNs = 1'000'000;

  using Setter = void (*)(os::Urgency urgency);
  explicit DaemonUrgency(Setter set = os::SetUrgency) : set_(set) {}

  // The daemon's thread begins. Children are many: theirs begin as ordinary ones, unless the
  // processors are contended.
  void Begin(bool ordinary) {
    settled_ = ordinary;
    real_time_ = !ordinary;
    burst_began_ns_ = 0;
    set_(real_time_ ? os::Urgency::kRealTime : os::Urgency::kPreferred);
  }

  // What a step of reclaim has found.
  struct Snapshot {
    bool active = false;
    bool over_limit = false;
    bool contended = false;  // see contention.h
    uint64_t pause_ns = 0;   // until the next step; 0: it follows at once
    uint64_t now_ns = 0;
  };
  void NoteStep(const Snapshot& snapshot) {
    if (snapshot.active && snapshot.pause_ns != 0) settled_ = true;
    const bool urgent = snapshot.active && (!settled_ || snapshot.over_limit);
    if (!urgent) burst_began_ns_ = 0;
    if (urgent && burst_began_ns_ == 0) burst_began_ns_ = snapshot.now_ns;
    const bool exhausted =
        !snapshot.contended && urgent && snapshot.now_ns - burst_began_ns_ > kBurstMaxNs;
    if (exhausted) settled_ = true;
    Set(!snapshot.active || snapshot.contended || snapshot.pause_ns >= kWatchingNs ||
        (urgent && !exhausted));
  }
  void Lower() { Set(false); }

 private:
  void Set(bool real_time) {
    if (real_time == real_time_) return;
    real_time_ = real_time;
    set_(real_time ? os::Urgency::kRealTime : os::Urgency::kPreferred);
  }

  Setter set_;
  bool real_time_ = false;
  bool settled_ = false;
  uint64_t burst_began_ns_ = 0;  // 0: no burst
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_DAEMON_URGENCY_H_
