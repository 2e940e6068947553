// procfs: what a process reads about itself, without the C library's streams and locale.
//
//   MemoryReader     resident anonymous memory, from statm (resident minus file and shmem)
//   ShareReader      how it is shared with other processes, from smaps_rollup
//   MapsReader       the mappings, one after the other, from maps or smaps
//   TaskReader       thread ids, from task
//
// The calling thread opens the files in its own descriptor table, and they stay open. One thread at
// a time may use a reader. Buffers are members; nothing is allocated. The text is not parsed with
// sscanf and isspace because these read locale tables that may be on the program's heap.
#ifndef UZSWAP_OS_PROCFS_H_
#define UZSWAP_OS_PROCFS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "os/open_fallback.h"

namespace uzswap::os {

// A file opened for reading. The destructor closes it.
class ProcFile {
 public:
  ProcFile() = default;
  ~ProcFile();
  ProcFile(const ProcFile&) = delete;
  ProcFile& operator=(const ProcFile&) = delete;

  // Opens `path`, or else gets `file` from the fallback.
  Result<void> Open(const char* path, NeededFile file);
  // Without the fallback.
  Result<void> OpenDirectly(const char* path) { return OpenIn(kNoFolder, path, path); }
  // A file below the open directory `folder`.
  Result<void> OpenAt(const ProcFile& folder, const char* path) {
    return OpenIn(folder.descriptor_, path, "a file of /proc");
  }
  void Close();
  // For a forked child: the descriptor is in the parent's descriptor table.
  void Forget() { descriptor_ = -1; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  static constexpr int kNoFolder = -100;  // AT_FDCWD

  // `what` names the file in the error, and is a literal.
  Result<void> OpenIn(int folder, const char* path, const char* what);

  int descriptor_ = -1;
};

class MemoryReader {
 public:
  Result<void> Open() { return file_.Open("/proc/self/statm", NeededFile::kStatm); }
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // The resident anonymous memory of the process (RssAnon).
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
  bool anonymous = false;  // no file (inode 0)
  bool stack = false;      // the stack of the main thread
  bool kernel = false;     // [vvar], [vdso], [vsyscall]
  bool wiped = false;      // zero after fork (MADV_WIPEONFORK); known after OpenDetailed only
};

// How much of a process's anonymous memory other processes map too, after fork.
struct AnonymousSplit {
  Bytes share;      // PSS: a page that n processes map counts 1/n
  Bytes exclusive;  // pages that no other process maps
};

// Costs a walk over all pages. Split returns nothing on failure.
class ShareReader {
 public:
  Result<void> Open() { return file_.Open("/proc/self/smaps_rollup", NeededFile::kSmapsRollup); }
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  [[nodiscard]] std::optional<AnonymousSplit> Split() const;

 private:
  ProcFile file_;
};

class MapsReader {
 public:
  Result<void> Open() { return Begin("/proc/self/maps", NeededFile::kMaps); }
  // Reads smaps instead of maps. It has more fields and costs a walk over all pages.
  Result<void> OpenDetailed() { return Begin("/proc/self/smaps", NeededFile::kSmaps); }
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // Finds the mapping that contains `address` now. `stack` and `kernel` are not set because they
  // need the name. One ioctl since Linux 6.11; before that a walk, which ends any other walk.
  bool Find(uint64_t address, MapsEntry* entry);
  // Starts a new walk.
  void Rewind();
  // False at the end. Mappings may change during a walk; each entry is consistent.
  bool Next(MapsEntry* entry);

 private:
  Result<void> Begin(const char* path, NeededFile file);
  bool Fill();
  bool NextLine(const char** line, size_t* length);

  ProcFile file_;
  char buffer_[16384];
  size_t begin_ = 0;
  size_t end_ = 0;
  bool finished_ = false;
  bool detailed_ = false;
};

// Parses one line of /proc/PID/maps. False if the line has another format. Public for tests.
bool ParseMapsLine(const char* line, size_t length, MapsEntry* entry);

// The threads of the program, which may be another process (os/program.h).
class TaskReader {
 public:
  Result<void> Open();
  void Close() { file_.Close(); }
  void Forget() { file_.Forget(); }
  // Calls `visit(argument, thread id)` for each thread of the program.
  void ForEach(void (*visit)(void* argument, uint32_t thread), void* argument);

  // The following may be called by several threads of one descriptor table.

  // If the thread sleeps in futex(2), so it probably waits for a lock: how often it has been given
  // a processor. The same number at two looks: it has slept all the time between. Nothing if it
  // does not sleep there, or if that is not certain.
  [[nodiscard]] std::optional<uint64_t> FutexSleep(uint32_t thread) const;
  // The processor on which the thread ran last. -1 if the thread has ended.
  [[nodiscard]] int ProcessorOf(uint32_t thread) const;
  // The text of a file in the thread's folder. Fails with ENOENT or ESRCH if the thread has ended.
  [[nodiscard]] Result<std::string_view> ReadOf(uint32_t thread, const char* leaf,
                                                std::span<char> buffer) const;

 private:
  ProcFile file_;
  alignas(8) char buffer_[4096];
};

// vm.max_map_count: how many mappings a process may have. Nothing if it cannot be read.
std::optional<uint64_t> MaxMappings();

// An address inside the descriptor (struct pthread) of a thread of the C library. It is the head of
// the thread's robust list, which the kernel knows. 0 for threads without a robust list.
uint64_t ThreadDescriptorHint(uint32_t thread);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROCFS_H_
