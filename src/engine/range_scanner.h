// RangeScanner: walks the program's mappings and adopts those that can be managed.
//
//   /proc/self/maps ──> Judge each ──kAdopt──> RangeSink::Adopt (register, track its pages)
//   /proc/self/task ──> thread descriptors ──> RangeSink::PinResident (keep them resident)
//
//   adopted      private, anonymous, readable and writable mappings of any size, executable ones
//                and stacks of living threads included
//   left alone   the main stack, mappings of the shape of a cached thread stack, small ones next
//                to a library, mappings that are not readable and writable, the engine's own, and
//                everything with a file behind it
//
// The kernel writes to a thread's descriptor while the thread exits, at a moment when it serves
// no user faults. glibc has no public list of its threads, but the kernel knows the head of
// each one's robust list, which lies inside the descriptor. The pages of every descriptor are
// pinned, in the same step in which their mapping is adopted. Pins stay when a thread ends: the
// next thread on the same stack has its descriptor in the same place.
//
// One thread: the reclaim daemon's, and for the scanner of the growth watch the pager's. The thread
// list of the daemon's is also read by a forking thread while the daemon answers no other request
// (engine/fork_coordinator.h).
#ifndef UZSWAP_ENGINE_RANGE_SCANNER_H_
#define UZSWAP_ENGINE_RANGE_SCANNER_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "engine/mapping_budget.h"
#include "os/procfs.h"

namespace uzswap {

// What is decided about one mapping.
enum class AdoptionVerdict : uint8_t {
  kAdopt,
  kNotAnonymous,  // file, shared, or the kernel's
  kProtection,    // not readable and writable
  kLibraryData,   // of the dynamic loader, which a forked child needs at once
  kStack,
  kOwn,
};

// Where adopted ranges go; tests replace it.
class RangeSink {
 public:
  // Registers the parts of the range that are not registered yet, and keeps the pages of `pinned`
  // resident from the same moment on. Returns whether anything was registered.
  virtual bool Adopt(AddressRange range, AddressRange pinned) = 0;
  // Keeps the pages of [start, end) resident, as far as they are registered.
  virtual void PinResident(AddressRange range) = 0;

 protected:
  ~RangeSink() = default;
};

class RangeScanner {
 public:
  static constexpr size_t kThreadsMax = 16384;
  // An anonymous mapping next to a file's belongs to the libraries if it is not larger: the end of
  // their data, and what the dynamic loader keeps.
  static constexpr uint64_t kLibraryPagesMax = 15;

  // What the C library gives a new thread.
  void SetDefaultStackBytes(uint64_t bytes) { default_stack_bytes_ = bytes; }
  // Opens the files it reads.
  Result<void> Open();
  void Close();
  // In a forked child, see os::ProcFile.
  void Forget();

  // One walk over all mappings. Returns how many were newly adopted.
  size_t Scan(RangeSink& sink);

  // Calls visit(argument, range) for each private anonymous mapping of the program that cannot be
  // adopted because it is not readable and writable.
  void ForEachProtected(void (*visit)(void* argument, AddressRange range), void* argument);

  // The threads of the last Scan or RefreshThreads: addresses inside their descriptors, ascending.
  void RefreshThreads();
  [[nodiscard]] const os::TaskReader& tasks() const { return tasks_; }
  // Calls visit(argument, thread id) for each thread that exists.
  void ForEachThread(void (*visit)(void* argument, uint32_t thread), void* argument) {
    tasks_.ForEach(visit, argument);
  }
  // Mappings that the last Scan did not adopt, because the process would have too many.
  [[nodiscard]] uint64_t mappings_left() const { return budget_.left(); }
  [[nodiscard]] size_t thread_count() const { return thread_count_; }
  [[nodiscard]] const uint64_t* thread_hints() const { return threads_; }

  // Exposed for tests. `previous` and `next` are the mappings before and after `entry`.
  [[nodiscard]] AdoptionVerdict Judge(const os::MapsEntry& entry, const os::MapsEntry& previous,
                                      const os::MapsEntry& next = {}) const;

 private:
  friend class RangeScannerPeer;

  // The pages of the first descriptor in the mapping; empty if there is none. Those of other
  // threads in the same mapping are pinned at the end of the scan.
  [[nodiscard]] AddressRange DescriptorIn(AddressRange range) const;
  static void NoteThread(void* self, uint32_t thread);

  os::MapsReader maps_;
  os::TaskReader tasks_;
  MappingBudget budget_;
  uint64_t default_stack_bytes_ = 0;
  // The first thread_count_. The rest is not initialised: its pages would be in use from the start.
  uint64_t threads_[kThreadsMax];
  size_t thread_count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_RANGE_SCANNER_H_
