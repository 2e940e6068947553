// ContentionWatch: samples the runnable tasks of the machine for Contention.
//
// The reclaim daemon opens it and asks it; where the kernel does not tell, there is no contention.
#ifndef UZSWAP_ENGINE_CONTENTION_WATCH_H_
#define UZSWAP_ENGINE_CONTENTION_WATCH_H_

#include <cstdint>
#include <optional>

#include "engine/contention.h"
#include "os/runnable_tasks.h"

namespace uzswap {

class ContentionWatch {
 public:
  // Without the kernel's figures Look finds no contention.
  void Open() { static_cast<void>(tasks_.Open()); }
  // In a forked child.
  void Forget() {
    tasks_.Forget();
    contention_ = Contention();
  }
  bool Look(uint64_t now_ns) {
    if (!contention_.SampleDue(now_ns)) return contention_.contended();
    const std::optional<uint32_t> runnable = tasks_.Count();
    if (!runnable) {
      contention_ = Contention();
      return false;
    }
    return contention_.NoteSample(*runnable, tasks_.processors(), now_ns);
  }

 private:
  os::RunnableTasks tasks_;
  Contention contention_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_CONTENTION_WATCH_H_
