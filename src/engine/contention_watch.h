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
  // Without the kernel's figures Sample finds no contention.
  void Open() { static_cast<void>(tasks_.Open()); }
  // In a forked child.
  void Forget() {
    tasks_.Forget();
    contention_ = Contention();
  }
  // `tree_time` returns the processor time that the tree has used so far, in nanoseconds, or
  // nothing.
  template <typename TreeTime>
  bool Sample(uint64_t now_ns, TreeTime&& tree_time) {
    if (!contention_.SampleDue(now_ns)) return contention_.contended();
    const std::optional<uint32_t> runnable = tasks_.Count();
    if (!runnable) {
      contention_ = Contention();
      return false;
    }
    const auto idle_or_ours = [&]() -> std::optional<uint64_t> {
      const std::optional<uint64_t> idle_ns = tasks_.IdleNs();
      const std::optional<uint64_t> tree_ns = tree_time();
      if (!idle_ns || !tree_ns) return std::nullopt;
      return *idle_ns + *tree_ns;
    };
    return contention_.NoteSample(
        {.runnable = *runnable, .processors = tasks_.processors(), .now_ns = now_ns}, idle_or_ours);
  }

 private:
  os::RunnableTasks tasks_;
  Contention contention_;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_CONTENTION_WATCH_H_
