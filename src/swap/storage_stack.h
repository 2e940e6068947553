// StorageStack: stores and loads pages by swap slot. It wires everything below it, and knows
// nothing of page faults, of a session, or of who the pages belong to.
//
//      store()                                cache()                 pool()      arena()
//   +-----------+ slot   +-----------------+  compressed   +------+  frames  +------------+
//   | PageStore | -----> | CompressedCache | ------------> | Pool | -------> | FrameArena |
//   +-----------+        +-----------------+               +------+          +------------+
//                           | coldest objects, by frame       ^
//                           v                                 | emptied or made denser
//                        +-----------+   batches   +--------------+
//                        | Writeback | ----------> | BackingStore |     if there is one
//                        +-----------+             +--------------+
//                        writeback()               backing()
//
//             Init                 Pause               Resume
//   [ new ] -------> [ running ] --------> [ paused ] --------> [ running ]
//                        ^                     | fork, in the child:
//                        |                     v BecomeChild
//                        |             [ running, reads only ]
//                        +--------------------- WriteInChild
//
// A backing store that cannot be opened is no error of Init: the stack works without it, and
// backing_error() says why. Where nothing can be written, or writing is limited, the writer makes
// aged objects denser with zstd.
//
// Fork. The parent pauses its writer, so that nothing is in flight, and opens the backing file once
// more for the child. The child loads what the parent wrote from that open file. The parent keeps
// those places on disk for as long as any child has the file open. A child that lasts gets a file
// of its own; until then what it stores stays in its pool
// (docs/decisions/0046-children-write-files-of-their-own.md):
//
//   parent   Pause --> OpenForChild --> fork --> Resume ... ReleaseChildren, from time to time
//   child                                 `----> BecomeChild(files) ... WriteInChild, if it lasts
//
// Threads. store(), cache(), pool() and arena(): any thread, as their headers say. One thread, the
// writer, is in writeback().Run. Init, BecomeChild, ReleaseChildren, Trim, and every load from
// disk: threads that share one descriptor table; Trim, Pause and ReleaseChildren one at a time.
// Nothing here allocates from the heap.
#ifndef UZSWAP_SWAP_STORAGE_STACK_H_
#define UZSWAP_SWAP_STORAGE_STACK_H_

#include <optional>

#include "base/result.h"
#include "os/backing_file.h"
#include "swap/page_store.h"
#include "swap/storage_backing.h"
#include "swap/storage_options.h"
#include "swap/storage_pool.h"
#include "writeback/writeback.h"

namespace uzswap {

class StorageStack {
 public:
  StorageStack() = default;
  StorageStack(const StorageStack&) = delete;
  StorageStack& operator=(const StorageStack&) = delete;

  // Once. Fails with EINVAL for options that make no sense (see Validate), or if the kernel grants
  // no address space. A stack whose Init failed can only be destroyed.
  Result<void> Init(const StorageOptions& options);
  // Drops all pages, so that the stack can be destroyed. Requires: no other thread uses the stack,
  // none is in writeback().Run, and `context` is the only context besides the writer's.
  void Close(CacheContext& context);

  PageStore& store() { return store_; }
  CompressedCache& cache() { return cache_; }
  // What stores may use. Empty until somebody installs a dictionary.
  DictionarySet& dictionaries() { return dictionaries_; }
  Pool& pool() { return pool_.pool(); }
  // As StoragePool::ObjectBytes.
  [[nodiscard]] Bytes ObjectBytes() { return pool_.ObjectBytes(); }
  FrameArena& arena() { return pool_.arena(); }
  Writeback& writeback() { return writeback_; }
  // nullptr: none was asked for, or it cannot be used.
  BackingStore* backing() { return backing_.store(); }
  // Why there is none although one was asked for.
  [[nodiscard]] const std::optional<Error>& backing_error() const { return backing_.error(); }
  // True if this process writes to the backing store. A forked child only reads, until
  // WriteInChild.
  [[nodiscard]] bool writes() const { return backing_.writes(); }
  [[nodiscard]] bool is_child() const { return is_child_; }

  // Moves objects out of sparse frames, and gives idle frames back to the kernel.
  TrimResult Trim() { return pool_.Trim(); }

  // --- Fork, in this order ---
  // When it returns nothing is in flight, and what is on disk stays there. Requires: a thread is
  // in writeback().Run.
  void Pause();
  // Any thread: the files from which the child will load. Not open where there is nothing to load.
  // Requires: paused.
  os::InheritedFiles OpenForChild() { return backing_.OpenForChild(); }
  void Resume() { writeback_.Resume(); }
  // In the child, before anything else. Files may be not open. Requires: the caller is the only
  // thread that uses the stack.
  void BecomeChild(os::InheritedFiles files);
  // In a child that reads only, once it lasts: see StorageBacking::BecomeWriter. The writer is
  // paused meanwhile. `bound()` sets the bounds of pool and file before the writer goes on.
  // Requires: a thread is in writeback().Run; there is a backing store.
  template <typename Bound>
  Result<void> WriteInChild(const char* path, Bound&& bound) {
    writeback_.Pause();
    const Result<void> done = BecomeWriter(path);
    if (done.ok()) bound();
    writeback_.Resume();
    return done;
  }
  // Releases what is held on disk for children that have ended. May be called at any time.
  void ReleaseChildren() { backing_.EndGoneChildren(); }

 private:
  Result<void> InitCache(const StorageOptions& options, uint32_t slots);
  Result<void> InitWriteback(const StorageOptions& options);
  Result<void> BecomeWriter(const char* path);

  StoragePool pool_;
  StorageBacking backing_;
  DictionarySet dictionaries_;
  CompressedCache cache_;
  CacheContext writer_context_;
  Writeback writeback_;
  PageStore store_;
  KeepIncompressible keep_incompressible_ = KeepIncompressible::kIfWritable;
  bool is_child_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_STORAGE_STACK_H_
