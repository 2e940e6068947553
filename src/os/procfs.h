// procfs: what a process reads about itself, without the C library's streams or locale.
//
//   AnonymousBytes   resident anonymous memory, from statm (resident less file and shmem)
//   MapsReader       the mappings, one after the other, from maps
//   PagemapReader    which pages of a range are present, by PAGEMAP_SCAN
//   TaskReader       thread numbers; ThreadDescriptor: where glibc keeps a thread's descriptor
//
// The files are opened by the calling thread in its own descriptor table and stay open; a
// reader belongs to one thread at a time. Buffers are members: nothing is allocated. The
// texts are parsed by hand: sscanf and isspace read tables that may lie on the program's heap.
#ifndef UZSWAP_OS_PROCFS_H_
#define UZSWAP_OS_PROCFS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"

namespace uzswap::os {

// A descriptor that closes itself, opened by path for reading.
class ProcFile {
 public:
  ProcFile() = default;
  ~ProcFile();
  ProcFile(const ProcFile&) = delete;
  ProcFile& operator=(const ProcFile&) = delete;

  Result<void> Open(const char* path);
  void Close();
  // In a forked child: the descriptor belonged to a table that stayed with the parent.
  void Forget() { descriptor_ = -1; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

class MemoryReader {
 public:
  Result<void> Open() { return file_.Open("/proc/self/statm"); }
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // Resident anonymous memory of the process as the kernel counts it (RssAnon).
  [[nodiscard]] Bytes AnonymousBytes() const;

 private:
  ProcFile file_;
};

struct MapsEntry {
  uint64_t start = 0;
  uint64_t end = 0;
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  bool anonymous = false;  // no file behind it (inode 0)
  bool stack = false;      // the main thread's
  bool kernel = false;     // [vvar], [vdso], [vsyscall]
  bool wiped = false;      // reads as zero after fork (MADV_WIPEONFORK); detailed reader only
};

// The process's share of its anonymous memory: pages shared with a forked relative count in
// part. Costs a walk over all pages. Nothing on failure.
class ShareReader {
 public:
  Result<void> Open() { return file_.Open("/proc/self/smaps_rollup"); }
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  [[nodiscard]] std::optional<Bytes> AnonymousShare() const;

 private:
  ProcFile file_;
};

class MapsReader {
 public:
  Result<void> Open() { return Begin("/proc/self/maps", false); }
  // Reads smaps instead, which knows more and costs a walk over all pages.
  Result<void> OpenDetailed() { return Begin("/proc/self/smaps", true); }
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // The mapping that holds `address` now, but for what only its name tells (`stack`, `kernel`).
  // One question where the kernel answers it (Linux 6.11), otherwise a walk, which ends any other.
  bool Find(uint64_t address, MapsEntry* entry);
  // Starts over with the state of now.
  void Rewind();
  // False at the end. Mappings may change while they are read: a snapshot line by line.
  bool Next(MapsEntry* entry);

 private:
  Result<void> Begin(const char* path, bool detailed);
  bool Fill();
  bool NextLine(const char** line, size_t* length);

  ProcFile file_;
  char buffer_[16384];
  size_t begin_ = 0;
  size_t end_ = 0;
  bool finished_ = false;
  bool detailed_ = false;
};

// One line of /proc/PID/maps; false if it is not one. Exposed for its tests.
bool ParseMapsLine(const char* line, size_t length, MapsEntry* entry);

struct PresentRun {
  uint64_t start = 0;
  uint64_t end = 0;
};

class PagemapReader {
 public:
  Result<void> Open();
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // Finds the runs of present (or kernel-swapped) pages in [start, end), at most `capacity`.
  // `*walked` is where the search stopped: continue there. Fails with the errno of the scan.
  Result<size_t> Present(uint64_t start, uint64_t end, PresentRun* runs, size_t capacity,
                         uint64_t* walked) const;

 private:
  ProcFile file_;
};

class TaskReader {
 public:
  Result<void> Open();
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // Calls `visit(context, thread number)` for each thread of the process.
  void ForEach(void (*visit)(void* context, uint32_t thread), void* context);

 private:
  ProcFile file_;
  alignas(8) char buffer_[4096];
};

// An address inside the descriptor (struct pthread) of a thread made by the C library: the head
// of its robust list, which the kernel knows. 0 for threads that have none.
uint64_t ThreadDescriptorHint(uint32_t thread);

// True if a thread of this process sleeps in futex(2): it waits for a lock. False whenever that
// is not certain.
bool SleepsInFutex(uint32_t thread);

// The processor a thread of this process ran on last; -1 if it is gone.
int ProcessorOfThread(uint32_t thread);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROCFS_H_
