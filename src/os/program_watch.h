// ProgramWatch: tells a process of service threads when the program that it serves is gone.
//
//   program                       what the kernel does          what the watch sees
//   a thread calls exec           clears the thread id word     the program has other memory: gone
//   exits or is killed            clears it; pidfd is readable  the process has ended: gone
//   first thread: pthread_exit    clears it                     same memory or none: not gone
//
//   present ──(word cleared)──> uncertain ──(pidfd, or other memory)──> gone
//                                  looks again after 50 us, 100 us and so on up to 5 ms
//
// Gone is certain: a process of service threads that ended too early would leave the program with
// pages of zeroes. A process that ends late keeps the old memory allocated. So with any doubt the
// program is present.
//
// Other memory is found by kcmp(2). Where that is not permitted, because the program has executed a
// setuid program, by the size of the address space: same memory has the same size.
//
// In a thread of the program's own process there is nothing to watch: it ends with the program.
//
// Open, Wait and Gone: the thread that called Open. Nothing allocates.
#ifndef UZSWAP_OS_PROGRAM_WATCH_H_
#define UZSWAP_OS_PROGRAM_WATCH_H_

#include <atomic>
#include <cstdint>

namespace uzswap::os {

class ProgramWatch {
 public:
  ProgramWatch() = default;
  ~ProgramWatch();
  ProgramWatch(const ProgramWatch&) = delete;
  ProgramWatch& operator=(const ProgramWatch&) = delete;

  // In the service thread, after NoteProgram in the program.
  void Open();
  // For a forked child: the descriptor is in the parent's descriptor table.
  void Forget();

  // Sleeps while *word == expected, until it is woken, `timeout_ns` has passed, or the program may
  // be gone. May return early.
  void Wait(const std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns);

  // True if no task of the program uses this memory any more. Mostly one memory access.
  bool Gone();
  // The same, by system calls in every case: for the case that something has failed.
  [[nodiscard]] bool GoneNow() const;
  // The same, but while the program is uncertain it waits, for `timeout_ns` at most: a program that
  // is exiting loses its memory, and with it its files in /proc, before it has ended.
  [[nodiscard]] bool GoneSoon(uint64_t timeout_ns) const;

 private:
  // While the word is not cleared, the system calls are made at each of so many looks: the kernel
  // cannot clear a word whose page is swapped out.
  static constexpr uint32_t kLooksBetweenCalls = 64;

  [[nodiscard]] bool WordIsCleared() const;
  [[nodiscard]] bool HasEnded() const;
  // The first thread of the program has memory, and it is not ours.
  static bool HasOtherMemory();

  bool outside_ = false;
  int pidfd_ = -1;                  // without one, signal 0 tells whether the process exists
  const uint32_t* word_ = nullptr;  // the program's, null: not watched
  uint32_t thread_ = 0;             // its value while the thread runs
  uint32_t looks_ = 0;
  uint64_t uncertain_ns_ = 0;  // the next sleep without the word
  bool woken_others_ = false;
};

// Ends the calling process of service threads. Requires: its program is gone.
[[noreturn]] void EndProcess();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_WATCH_H_
