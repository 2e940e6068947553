// DaemonUrgency: when the reclaim daemon is a real-time thread (docs/decisions/0034).
//
//     watching ──active──> settling ──first pause──> calm ──usage above the limit──> over
//     real-time            real-time                 nice -10 <──below it again───── real-time
//
// Watching costs microseconds, and a look that comes late is memory that nobody registers. Settling
// is the first reclaim after that. Above the limit the kernel may end the program. In the last two
// states the daemon computes: after kBurstMaxNs it is an ordinary thread again, until usage is
// below the limit.
//
// While the daemon waits for another thread of the engine, it must not keep that thread from its
// processor: Lower comes first, and the next step decides anew. One thread: the daemon.
#ifndef UZSWAP_ENGINE_DAEMON_URGENCY_H_
#define UZSWAP_ENGINE_DAEMON_URGENCY_H_

#include <cstdint>

#include "os/thread.h"

namespace uzswap {

class DaemonUrgency {
 public:
  static constexpr uint64_t kBurstMaxNs = 200'000'000;

  using Setter = void (*)(os::Urgency urgency);
  explicit DaemonUrgency(Setter set = os::SetUrgency) : set_(set) {}

  // The daemon's thread begins. In a forked child other threads wait for it at once.
  void Begin(bool forked) {
    settled_ = forked;
    real_time_ = !forked;
    burst_began_ns_ = 0;
    set_(real_time_ ? os::Urgency::kRealTime : os::Urgency::kPreferred);
  }

  // What a step of reclaim has found.
  struct Look {
    bool active = false;
    bool over_limit = false;
    bool pauses = false;  // the next step does not follow at once
    uint64_t now_ns = 0;
  };
  void NoteStep(const Look& look) {
    if (look.active && look.pauses) settled_ = true;
    const bool computes = look.active && (!settled_ || look.over_limit);
    if (!computes) burst_began_ns_ = 0;
    if (computes && burst_began_ns_ == 0) burst_began_ns_ = look.now_ns;
    const bool exhausted = computes && look.now_ns - burst_began_ns_ > kBurstMaxNs;
    if (exhausted) settled_ = true;
    Set(!look.active || (computes && !exhausted));
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
