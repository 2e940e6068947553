// ThreadActivity: whether a thread of the program can be inside madvise(2) now.
//
// Reads syscall in the thread's folder, which names the system call of a thread that sleeps. A
// thread that runs, or could run, is uncertain. So is a worker of io_uring, which can carry out
// madvise for the program without calling it, and a thread in io_uring_enter.
//
// Any thread may call it. Three system calls for each file. Nothing allocates.
#ifndef UZSWAP_OS_THREAD_ACTIVITY_H_
#define UZSWAP_OS_THREAD_ACTIVITY_H_

#include <cstdint>
#include <string_view>

#include "os/procfs.h"

namespace uzswap::os {

enum class ThreadActivity : uint8_t {
  kGone,       // the thread has ended
  kElsewhere,  // it sleeps in another system call, or waits for a page
  kUncertain,  // it may be inside madvise
};

ThreadActivity LookAtThread(const TaskReader& tasks, uint32_t thread);

// What the texts of the thread's comm and syscall mean. Public for tests.
ThreadActivity ActivityOf(std::string_view name, std::string_view system_call);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_THREAD_ACTIVITY_H_
