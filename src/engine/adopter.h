// Adopter: walks the program's mapping list and takes into care what can be.
//
//   adopted      private, anonymous, readable and writable, at least kPagesMin pages
//   left alone   the main stack and mappings that hold a living thread's descriptor
//                (thread stacks), mappings of the shape of a cached thread stack, executable
//                ones, whatever is ours, and everything with a file behind it
//
// The kernel writes to a thread's descriptor while the thread exits, at a moment when it serves
// no user faults. glibc has no public list of its threads, but the kernel knows the head of
// each one's robust list, which lies inside the descriptor. Where a descriptor lies in a
// mapping too large to leave alone, its pages are pinned instead.
//
// Called by the keeper only.
#ifndef UZSWAP_ENGINE_ADOPTER_H_
#define UZSWAP_ENGINE_ADOPTER_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "os/procfs.h"
#include "pager/pager.h"

namespace uzswap {

// What a look at one mapping decides.
enum class AdoptionVerdict : uint8_t {
  kAdopt,
  kNotAnonymous,  // file, shared, or the kernel's
  kProtection,    // not readable and writable, or executable
  kSmall,
  kStack,
  kOwn,
};

class Adopter {
 public:
  static constexpr uint64_t kPagesMin = 16;
  static constexpr size_t kThreadsMax = 1024;
  // A mapping with a thread descriptor is a stack if it is not larger than this.
  static constexpr uint64_t kStackBytesMax = 64 << 20;

  // Opens the files it reads. `default_stack_bytes` is what the C library gives a thread.
  Result<void> Open(uint64_t default_stack_bytes);
  void Close();
  // In a forked child, see os::ProcFile.
  void Forget();

  // One walk over all mappings. Returns how many were newly adopted.
  size_t Scan(Pager& pager);

  // The threads of the last scan (or of Refresh): addresses inside their descriptors.
  void RefreshThreads();
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

#endif  // UZSWAP_ENGINE_ADOPTER_H_
