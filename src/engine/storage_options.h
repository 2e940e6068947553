// From the options of a run to those of the storage stack.
#ifndef UZSWAP_ENGINE_STORAGE_OPTIONS_H_
#define UZSWAP_ENGINE_STORAGE_OPTIONS_H_

#include "base/wear_account.h"
#include "session/options.h"
#include "swap/storage_options.h"

namespace uzswap {

// The result points to the path in `options`. `wear` is the account of bytes written by the whole
// tree of processes; it outlives the stack. `dictionary` is the size of the content that the run
// starts with. `arena` is what the pool can hold at most: the limit that address space is there for
// (PagingStack::Parts), whatever the limit is now.
StorageOptions StorageOptionsFor(const Options& options, Bytes arena, Bytes dictionary,
                                 WearAccount* wear);
StorageOptions StorageOptionsFor(Options&&, Bytes, Bytes, WearAccount*) = delete;

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_STORAGE_OPTIONS_H_
