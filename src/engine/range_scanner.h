// RangeScanner: walks the program's mappings and adopts those that can be managed.
//
//   /proc/self/maps ──> Judge each ──kAdopt──> RangeSink::Adopt (register, track its pages)
//   /proc/self/task ──> thread descriptors ──> RangeSink::PinResident (keep them resident)
//
//   adopted      private, anonymous, readable and writable, at least kPagesMin pages
//   left alone   the main stack and mappings that hold a living thread's descriptor
//                (thread stacks), mappings of the shape of a cached thread stack, executable
//                ones, the engine's own, and everything with a file behind it
//
// The kernel writes to a thread's descriptor while the thread exits, at a moment when it serves
// no user faults. glibc has no public list of its threads, but the kernel knows the head of
// each one's robust list, which lies inside the descriptor. Where a descriptor lies in a
// mapping too large to leave alone, its pages are pinned instead.
//
// The reclaim daemon only; the thread list is also read by a forking thread while the daemon
// answers no other request (engine/fork_coordinator.h).
#ifndef UZSWAP_ENGINE_RANGE_SCANNER_H_
#define UZSWAP_ENGINE_RANGE_SCANNER_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "os/procfs.h"

namespace uzswap {

// What is decided about one mapping.
enum class AdoptionVerdict : uint8_t {
  kAdopt,
  kNotAnonymous,  // file, shared, or the kernel's
  kProtection,    // not readable and writable, or executable
  kSmall,
  kStack,
  kOwn,
};

// Where adopted ranges go; a seam.
class RangeSink {
 public:
  // Registers the parts of [start, end) that are not registered yet. Returns whether there were
  // any.
  virtual bool Adopt(uint64_t start, uint64_t end) = 0;
  // Keeps the pages of [start, end) resident, as far as they are registered.
  virtual void PinResident(uint64_t start, uint64_t end) = 0;

 protected:
  ~RangeSink() = default;
};

class RangeScanner {
 public:
  static constexpr uint64_t kPagesMin = 16;
  static constexpr size_t kThreadsMax = 1024;
  // A mapping with a thread descriptor is a stack if it is not larger than this.
  static constexpr uint64_t kStackBytesMax = 64 << 20;

  // What the C library gives a new thread.
  void SetDefaultStackBytes(uint64_t bytes) { default_stack_bytes_ = bytes; }
  // Opens the files it reads.
  Result<void> Open();
  void Close();
  // In a forked child, see os::ProcFile.
  void Forget();

  // One walk over all mappings. Returns how many were newly adopted.
  size_t Scan(RangeSink& sink);

  // The threads of the last Scan or RefreshThreads: addresses inside their descriptors.
  void RefreshThreads();
  [[nodiscard]] const os::TaskReader& tasks() const { return tasks_; }
  [[nodiscard]] size_t thread_count() const { return thread_count_; }
  [[nodiscard]] const uint64_t* thread_hints() const { return threads_; }

  // Exposed for tests. `previous` is the mapping before `entry`.
  [[nodiscard]] AdoptionVerdict Judge(const os::MapsEntry& entry,
                                      const os::MapsEntry& previous) const;
  void SetThreadsForTest(const uint64_t* hints, size_t count);

 private:
  [[nodiscard]] bool HoldsThread(uint64_t start, uint64_t end) const;
  static void NoteThread(void* self, uint32_t thread);

  os::MapsReader maps_;
  os::TaskReader tasks_;
  uint64_t default_stack_bytes_ = 0;
  uint64_t threads_[kThreadsMax] = {};
  size_t thread_count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_RANGE_SCANNER_H_
