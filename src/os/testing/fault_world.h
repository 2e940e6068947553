// FaultWorld: a program, its mappings and its userfaultfd, real or simulated. Tests only.
//
//      the test            threads 1, 2, ... of the program       the kernel, or FakeUserFault
//      BeginLoad(1, a) ->  loads from `a`                      -> queues a fault message
//      AwaitUnreadFaults(1)                                       (the thread sleeps)
//      Read(), port().Copy(...)                                -> wakes the thread
//      Await(1)        <-  the value, or the signal
//
// The stories of os/testing/user_fault_stories.h use this interface and run in both worlds. The
// real world has real threads. It never sleeps to synchronise. It waits for a state of the kernel
// (a readable descriptor, the number of unread faults in /proc/self/fdinfo, a thread that waits
// until its event is read). Each wait has a deadline that fails the test. A FaultWorld belongs to
// one thread.
//
// Addresses are the same in both worlds: [kWorldStart, kWorldEnd). Nothing else is mapped there.
#ifndef UZSWAP_OS_TESTING_FAULT_WORLD_H_
#define UZSWAP_OS_TESTING_FAULT_WORLD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/units.h"
#include "os/address_space.h"
#include "os/mapping.h"
#include "os/testing/fake_memory.h"
#include "os/user_fault_port.h"

namespace uzswap::os {

inline constexpr uint64_t kWorldStart = uint64_t{0x2000} << 32;
inline constexpr uint64_t kWorldPages = 512;
inline constexpr uint64_t kWorldEnd = kWorldStart + (kWorldPages << kPageShift);
inline constexpr uint32_t kWorldThreads = 3;  // numbered from 1

// A system call of the program that changes its mappings.
struct MappingChange {
  enum class Kind : uint8_t {
    kUnmap,            // munmap(range)
    kReplace,          // mmap(range, MAP_FIXED)
    kRemap,            // mremap(range -> [target, target + new_length), MREMAP_FIXED)
    kRemapKeepSource,  // the same with MREMAP_DONTUNMAP; new_length is the old one
    kResizeInPlace,    // mremap(range, new_length) without a move
    kDontNeed,         // madvise(range, MADV_DONTNEED)
    kFree,             // madvise(range, MADV_FREE)
    kRemove,           // madvise(range, MADV_REMOVE)
  };
  Kind kind = Kind::kUnmap;
  AddressRange range;
  uint64_t target = 0;
  uint64_t new_length = 0;
};

struct ThreadEnd {
  enum class How : uint8_t {
    kNot,     // it has not ended: it runs or sleeps
    kDone,    // value: the word of a load; the errno of a change, or 0
    kSegv,    // SIGSEGV
    kSigbus,  // SIGBUS
  };
  How how = How::kNot;
  uint64_t value = 0;
  friend bool operator==(const ThreadEnd&, const ThreadEnd&) = default;
};

class FaultWorld {
 public:
  virtual ~FaultWorld() = default;

  // Returns why this machine cannot run this world, or nullptr.
  virtual const char* Start() = 0;

  virtual UserFaultPort& port() = 0;
  // A second userfaultfd, without events.
  virtual UserFaultPort& release_port() = 0;
  virtual AddressSpace& space() = 0;
  // Maps memory of the engine and registers it with port(). It is unmapped after the world ends.
  uint64_t MakeFrames(uint64_t pages);

  // --- Set-up, by the test's thread ---
  virtual void Map(AddressRange range, FakeProtection protection) = 0;
  virtual void Protect(AddressRange range, FakeProtection protection) = 0;
  // Writes a word to the start of a page. Requires: the access needs no message.
  virtual void StoreNow(uint64_t address, uint64_t value) = 0;
  // Loads from a page. Requires: the access needs no message.
  virtual void LoadNow(uint64_t address) = 0;
  // Pins the page, as for input or output of a device. False if this machine cannot do it.
  virtual bool Pin(uint64_t address) = 0;
  virtual void Unpin() = 0;
  // fork(2); the child ends at once.
  virtual void Fork() = 0;

  // --- Threads of the program. Each does one thing at a time. ---
  virtual void BeginLoad(uint32_t thread, uint64_t address) = 0;
  virtual void BeginStore(uint32_t thread, uint64_t address, uint64_t value) = 0;
  virtual void BeginChange(uint32_t thread, const MappingChange& change) = 0;
  // How the thread ended. Does not wait.
  virtual ThreadEnd Look(uint32_t thread) = 0;
  // Waits until the thread has ended its current action.
  virtual ThreadEnd Await(uint32_t thread) = 0;
  // Waits until the queue has an unread event of the thread's change.
  // Requires: no unread event of another thread, unless this is the change's first event.
  virtual void AwaitEvent(uint32_t thread) = 0;
  // Waits until the queue has `count` unread fault messages.
  virtual void AwaitUnreadFaults(size_t count) = 0;
  // As port().Read, but with the thread numbers of this world.
  virtual std::vector<UserFaultEvent> Read(size_t most) = 0;

  // The word at the start of a present page.
  virtual uint64_t Peek(uint64_t address) = 0;

 private:
  std::vector<Mapping> frames_;
};

std::unique_ptr<FaultWorld> MakeFakeFaultWorld();
std::unique_ptr<FaultWorld> MakeKernelFaultWorld();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_FAULT_WORLD_H_
