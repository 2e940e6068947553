// ObjectOwner: the user of a BackingStore, who knows what keys mean and which objects are wanted.
//
// Called by the writer's thread only, without locks of the store.
#ifndef UZSWAP_BACKING_OBJECT_OWNER_H_
#define UZSWAP_BACKING_OBJECT_OWNER_H_

#include <cstdint>

#include "backing/disk_place.h"

namespace uzswap {

class ObjectOwner {
 public:
  // The object that was appended with `token`, or moves under it, is at `place`. The old place of
  // one that moves has not been used again. True: the owner releases the place
  // later. False: the object is no longer wanted, and the store releases the place.
  [[nodiscard]] virtual bool Written(uint64_t key, uint64_t token, DiskPlace place) = 0;
  // The write failed: the owner's copy is still the only one.
  virtual void WriteFailed(uint64_t key, uint64_t token) = 0;
  // The token under which the object at `place` would move, or 0 to leave it there.
  [[nodiscard]] virtual uint64_t Wanted(uint64_t key, DiskPlace place) = 0;

 protected:
  ~ObjectOwner() = default;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_OBJECT_OWNER_H_
