// StorageBacking: the backing store of a StorageStack with its port, and its part in a fork.
//
//               Open                         BeginChild, then EndGoneChildren
//   [ none ] ---------> [ open, writes ] <------------------------------------> holds places for
//       |                     |                                                 children
//       | fails               | BecomeReader, in a forked child
//       v                     v                  BecomeWriter
//   [ none, error() ]   [ open, reads only ] ------------------> [ open, writes to a file of its
//   own ]
//
// The descriptors are in the descriptor table of the thread that called Open or BecomeReader; it
// and the threads that share its table make all calls.
#ifndef UZSWAP_SWAP_STORAGE_BACKING_H_
#define UZSWAP_SWAP_STORAGE_BACKING_H_

#include <cstdint>
#include <optional>

#include "backing/backing_store.h"
#include "base/result.h"
#include "os/backing_port.h"
#include "swap/storage_options.h"

namespace uzswap {

class StorageBacking {
 public:
  // Once. True if the store is open. If not, error() says why.
  bool Open(const StorageBackingOptions& options, Bytes memory_limit, ObjectOwner& owner);

  // nullptr if it is not open.
  BackingStore* store() { return open_ ? &store_ : nullptr; }
  [[nodiscard]] bool writes() const { return open_ && !reader_; }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  // In the parent, with nothing in flight: what is on the medium stays for the child to read.
  void BeginChild();
  // Any thread of this process. Those in which there is nothing to read are not open.
  os::InheritedFiles OpenForChild();
  // In the child. A file may be not open: then loads from it fail.
  void BecomeReader(os::InheritedFiles files);
  // Later, in its daemon, with no thread on the writer's side: a file of its own. Fails, and
  // changes nothing, if it cannot be opened: on a device, or where the path is not found any more.
  Result<void> BecomeWriter(const char* path);
  // Releases what was held for children when all of them have closed the file.
  void EndGoneChildren();

 private:
  // This process's descriptor of file `i`; not open if it has none.
  [[nodiscard]] const os::BackingFile& FileOf(size_t i);
  Result<void> TryOpen(const StorageBackingOptions& options, Bytes memory_limit,
                       ObjectOwner& owner);

  os::BackingPort port_;
  os::IoPort* other_port_ = nullptr;  // the caller's
  BackingStore store_;
  std::optional<Error> error_;
  uint32_t owner_thread_ = 0;  // whose descriptor table the file is in
  uint32_t children_ = 0;      // forked since EndGoneChildren found no reader
  bool on_file_ = false;       // port_ is used; else it is the caller's
  bool open_ = false;
  bool reader_ = false;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_STORAGE_BACKING_H_
