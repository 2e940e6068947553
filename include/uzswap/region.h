// Region: memory that may be larger than the RAM it takes.
//
//     data()                                                      data() + size()
//       | in memory | compressed | in memory | on disk | never touched |
//              ^          |
//              |          | a touch brings the page back, in the thread that touches it
//              +----------+
//
//     memory in use: pages in memory + compressed pages        at most memory_bytes
//
// A region is ordinary memory: pointers into it stay valid, and no call is needed to use it. When
// more of it is used than memory_bytes, pages that were not used for a while are compressed, and
// the coldest are written to a file if there is one. It starts as zeroes.
//
// A touch of a page that is not in memory raises SIGBUS in the touching thread. The handler that
// Create installs decompresses the page and returns, and the thread continues. So threads bring
// their pages back in parallel; a thread waits for another one only if both need the same page. No
// privilege is needed (userfaultfd(2) for faults of user mode), but Linux 6.8.
//
// What a program has to know:
//
//   system calls   read(2), write(2) and others fail with EFAULT where a page of their buffer is
//                  not in memory. Pin the buffer first. This includes what the kernel uses by
//                  itself: the memory of mutexes and other futexes, and of stacks on which signals
//                  arrive.
//   signals        SIGBUS must not be blocked in threads that touch a region. A program with a
//                  handler of its own for SIGBUS installs it before the first Create: it is called
//                  for all other signals. Or later, and calls Region::HandleSignal first.
//   stacks         a touch needs 32 KiB of the stack of its thread, also on an alternate stack.
//   fork           a forked child does not have the region: a touch ends it with SIGSEGV, and a
//                  call ends it with a message. It may destroy its copy of the object, which does
//                  nothing.
//   mappings       munmap, mremap, mprotect, mlock and madvise of a region are not allowed; see
//                  Discard.
//   descriptors    a region has descriptors of the process. A program that closes descriptors which
//                  it has not opened (closefrom) loses the pages that are not in memory.
//
// Threads: any thread may touch any part, and call any function. The destructor requires that no
// thread uses the region, and that its pins are gone. Three service threads, which block all
// signals, compress ahead of need, write to the medium, and give unused memory back.
//
// Memory on top of memory_bytes: 8 bytes for each page of size(), and some MiB.
#ifndef UZSWAP_REGION_H_
#define UZSWAP_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "uzswap/compression.h"
#include "uzswap/export.h"
#include "uzswap/result.h"

namespace uzswap {

class UZSWAP_API Region {
 public:
  class Service;

  static constexpr size_t kPageBytes = 4096;
  static constexpr uint64_t kMemoryBytesMin = uint64_t{1} << 20;
  static constexpr uint64_t kSizeMax = uint64_t{1} << 43;
  static constexpr int kRegionsMax = 256;  // of a process, at the same time

  using Compression = uzswap::Compression;

  struct Options {
    uint64_t size = 0;          // must be given; rounded up to whole pages
    uint64_t memory_bytes = 0;  // must be given: at least kMemoryBytesMin
    Compression compression = Compression::kAuto;
    // As for PageCache: a file that does not exist, a directory for an unlinked file, or a block
    // device. An absolute path; nullptr: none. Compressed pages then take a fifth of memory_bytes.
    const char* backing = nullptr;
    uint64_t backing_bytes = 0;  // at most so much on the medium; 0: no limit
    bool encrypt = false;        // what is on the medium, with a key that only this process has
  };

  struct Statistics {
    uint64_t resident_bytes = 0;    // pages in memory, uncompressed
    uint64_t compressed_bytes = 0;  // memory that compressed pages take
    uint64_t stored_pages = 0;      // pages that are compressed, in memory or on the medium
    uint64_t disk_bytes = 0;        // of them, bytes on the medium
    uint64_t pinned_pages = 0;      // pins
    uint64_t faults = 0;            // touches of pages that were not in memory, since Create
    uint64_t first_touches = 0;     // of these, of pages never touched before
    uint64_t saved_in_time = 0;     // of these, of pages that were not compressed yet
    uint64_t faults_from_disk = 0;  // of these, with a read of the medium
    uint64_t read_ahead = 0;        // pages brought in without a touch
    uint64_t over_budget = 0;       // faults for which nothing could be reclaimed
  };

  // What a program knows about its next touches. A hint: nothing breaks if it is wrong.
  enum class Advice : uint8_t {
    kWillNeed,  // bring it into memory now, as far as there is room
    kCold,      // reclaim it first
  };

  // Pages stay in memory, and system calls may use them, until it is destroyed. The region outlives
  // it.
  class UZSWAP_API Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept { *this = std::move(other); }
    Pin& operator=(Pin&& other) noexcept {
      std::swap(service_, other.service_);
      std::swap(start_, other.start_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin();

   private:
    friend class Region;
    Service* service_ = nullptr;
    const void* start_ = nullptr;
    size_t bytes_ = 0;
  };

  // Fails with EINVAL if an option makes no sense (the error names it), with EPERM or ENOSYS where
  // userfaultfd is forbidden, with EOPNOTSUPP before Linux 6.8, and with the errno of mmap, of
  // pthread_create or of the medium. Where it fails, PageCache can be used instead.
  static Result<Region> Create(const Options& options);

  Region(Region&& other) noexcept;
  Region& operator=(Region&& other) noexcept;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  [[nodiscard]] std::byte* data() const;
  [[nodiscard]] size_t size() const;

  // For all four: the range lies in the region, and is extended to whole pages.
  // Fails with ENOMEM if pinned pages would take more than three quarters of memory_bytes, and with
  // EIO if a page cannot be read back from the medium.
  [[nodiscard]] Result<Pin> PinRange(const void* start, size_t bytes) const;
  void Advise(const void* start, size_t bytes, Advice advice) const;
  // The whole pages of the range read as zeroes afterwards, and take no memory. Pinned pages stay.
  // Requires: no other thread uses the range.
  void Discard(void* start, size_t bytes) const;

  [[nodiscard]] Statistics statistics() const;

  // For a handler of SIGBUS that the program has installed after the first Create. True if the
  // signal was a touch of a region, and was answered: the handler returns. `information` and
  // `context` are the second and the third argument of the handler.
  static bool HandleSignal(const void* information, const void* context);

 private:
  explicit Region(std::unique_ptr<Service> service);

  // A forked child leaves what it has inherited as it is.
  struct Leave {
    void operator()(Service* service) const;
  };

  std::unique_ptr<Service, Leave> service_;
};

}  // namespace uzswap

#endif  // UZSWAP_REGION_H_
