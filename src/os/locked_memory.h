// LockedMemory: how much of the process's memory is locked (mlock, mlockall): VmLck of
// /proc/self/status.
//
// Locked pages stay resident, because the program asked for it: UFFDIO_MOVE refuses them.
// Any thread. Three system calls. Nothing allocates.
#ifndef UZSWAP_OS_LOCKED_MEMORY_H_
#define UZSWAP_OS_LOCKED_MEMORY_H_

#include <string_view>

#include "base/units.h"

namespace uzswap::os {

// Zero if it is not known. It includes own ranges that UnlockOwnRanges has not unlocked yet.
Bytes LockedBytes();

// The value in the text of /proc/PID/status. Public for tests.
Bytes LockedBytesIn(std::string_view status);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_LOCKED_MEMORY_H_
