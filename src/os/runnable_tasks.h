// RunnableTasks: how many tasks of the machine have or want a processor now, from /proc/loadavg,
// and how long its processors were idle, from /proc/uptime.
//
//   0.34 0.19 0.24 5/216 11365
//                  ^ tasks that run or wait for a processor; the caller is one of them
//   53834.86 96404.11
//            ^ seconds, the sum of all processors
//
// In a container that hides the files nothing is known. A container that has a part of the
// processors still reads the figures of the whole machine; so does processors(). The calling thread
// opens the files in its own descriptor table. One thread at a time.
#ifndef UZSWAP_OS_RUNNABLE_TASKS_H_
#define UZSWAP_OS_RUNNABLE_TASKS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "os/procfs.h"

namespace uzswap::os {

// The fourth field of `line`. Nothing if it is not there.
std::optional<uint32_t> ParseRunnable(std::string_view line);
// The second field of `line`, in nanoseconds. Nothing if it is not there.
std::optional<uint64_t> ParseIdleNs(std::string_view line);
// How many numbers are in a list of the kernel, such as "0-3,8" (5). Nothing if it is no such list.
std::optional<uint32_t> ParseListSize(std::string_view list);

class RunnableTasks {
 public:
  // False if the kernel does not tell Count.
  bool Open();
  void Forget() {
    file_.Forget();
    uptime_.Forget();
  }
  // Requires nothing; without the file there is no answer. Costs about 2 µs.
  [[nodiscard]] std::optional<uint32_t> Count() const;
  // Since the machine was started, in steps of 10 ms. Time in which a processor waited for the
  // disk, or was taken from a virtual machine, is not in it. Nothing if the kernel does not tell.
  [[nodiscard]] std::optional<uint64_t> IdleNs() const;
  // Processors of the machine that are online, as of Open.
  [[nodiscard]] uint32_t processors() const { return processors_; }

 private:
  ProcFile file_;
  ProcFile uptime_;
  uint32_t processors_ = 0;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_RUNNABLE_TASKS_H_
