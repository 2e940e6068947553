// RunnableTasks: how many tasks of the machine have or want a processor now, from /proc/loadavg.
//
//   0.34 0.19 0.24 5/216 11365
//                  ^ tasks that run or wait for a processor; the caller is one of them
//
// In a container that hides the file nothing is known. A container that has a part of the
// processors still reads the figures of the whole machine; so does processors(). The calling thread
// opens the file in its own descriptor table. One thread at a time.
#ifndef UZSWAP_OS_RUNNABLE_TASKS_H_
#define UZSWAP_OS_RUNNABLE_TASKS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "os/procfs.h"

namespace uzswap::os {

// The fourth field of `line`. Nothing if it is not there.
std::optional<uint32_t> ParseRunnable(std::string_view line);
// How many numbers are in a list of the kernel, such as "0-3,8" (5). Nothing if it is no such list.
std::optional<uint32_t> ParseListSize(std::string_view list);

class RunnableTasks {
 public:
  // False if the kernel does not tell.
  bool Open();
  void Forget() { file_.Forget(); }
  // Requires nothing; without the file there is no answer. Costs about 2 µs.
  [[nodiscard]] std::optional<uint32_t> Count() const;
  // Processors of the machine that are online, as of Open.
  [[nodiscard]] uint32_t processors() const { return processors_; }

 private:
  ProcFile file_;
  uint32_t processors_ = 0;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_RUNNABLE_TASKS_H_
