// CacheHolder: everything below the pager that the options ask for, without a heap to put it on.
//
//   PageStore -> CompressedCache -> Pool (zsmalloc or zbud) -> FrameArena
//                       |
//                   Writeback -> BackingStore -> BackingPort -> the file       if there is one
//
// Without a backing store incompressible pages are refused (they cost less where they are), and
// the writer makes aged pages denser instead of writing them.
//
// Fork: the parent's writer is paused while the child is made. The child reads what was written
// before from an open file of its own, given to it through the program's descriptor table, and
// writes nothing; the parent keeps those parts of the file for as long as any child has that file
// open (docs/decisions/0014-forked-children-read.md).
//
// Init and everything that names a descriptor: service threads that share one table.
#ifndef UZSWAP_ENGINE_CACHE_HOLDER_H_
#define UZSWAP_ENGINE_CACHE_HOLDER_H_

#include <cstdint>

#include "base/result.h"
#include "engine/pool_holder.h"
#include "os/backing_port.h"
#include "session/options.h"
#include "swap/page_store.h"
#include "writeback/writeback.h"

namespace uzswap {

class CacheHolder {
 public:
  // Once. `wear` is the tree's account of bytes written.
  Result<void> Init(const Options& options, WearAccount* wear);

  PageStore& store() { return store_; }
  CompressedCache& cache() { return cache_; }
  Pool& pool() { return pool_.pool(); }
  FrameArena& arena() { return pool_.arena(); }
  Writeback& writeback() { return writeback_; }
  // nullptr: none was asked for, or it cannot be used.
  BackingStore* backing() { return has_backing_ ? &backing_ : nullptr; }
  // Why there is none although one was asked for.
  [[nodiscard]] const std::optional<Error>& backing_error() const { return backing_error_; }
  // May this process write to it? A forked child only reads.
  [[nodiscard]] bool writes() const { return has_backing_ && !is_child_; }

  [[nodiscard]] bool is_child() const { return is_child_; }

  // --- Fork, in this order ---
  // The keeper, in the parent: nothing is in flight, and what is on disk stays, until Resume.
  void Pause();
  // The forking thread: what the child will read from; not open if it would have nothing to read.
  // Requires: paused.
  os::BackingFile OpenForChild();
  void Resume();
  // In the child, by its keeper. `file` may be not open.
  void BecomeChild(os::BackingFile file);
  // The keeper, now and then: lets go of what children held that are gone.
  void ReleaseChildren();

 private:
  Result<void> OpenBacking(const Options& options, WearAccount* wear);

  PoolHolder pool_;
  os::BackingPort port_;
  BackingStore backing_;
  CompressedCache cache_;
  CacheContext writer_context_;
  Writeback writeback_;
  PageStore store_;
  std::optional<Error> backing_error_;
  uint32_t keeper_thread_ = 0;  // whose descriptor table the file is in
  uint32_t children_ = 0;       // forked since nobody read with us
  bool has_backing_ = false;
  bool is_child_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_CACHE_HOLDER_H_
