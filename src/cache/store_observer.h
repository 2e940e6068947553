// StoreObserver: sees the pages that a CompressedCache compresses.
//
// Called by any thread that stores, without a lock, after the page was compressed. Pages that
// repeat one word and incompressible pages are not reported. It must be quick: it is on the path of
// every store. Nothing may allocate.
#ifndef UZSWAP_CACHE_STORE_OBSERVER_H_
#define UZSWAP_CACHE_STORE_OBSERVER_H_

#include <cstddef>
#include <span>

#include "base/units.h"

namespace uzswap {

class StoreObserver {
 public:
  // The bytes are valid during the call only.
  virtual void OnCompressed(std::span<const std::byte, kPageSize> page) = 0;

 protected:
  ~StoreObserver() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_STORE_OBSERVER_H_
