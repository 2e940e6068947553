#include "os/own_memory.h"

namespace uzswap::os {

Bytes PresentOwnBytes(AddressSpace& space, MappingPurpose purpose) {
  uint64_t sum = 0;
  std::optional<OwnRange> range = NextOwnRange(0);
  for (; range; range = NextOwnRange(range->end)) {
    if (range->purpose != purpose) continue;
    PresentWalk walk(space, range->start, range->end);
    PresentRun run;
    while (walk.Next(&run)) sum += run.end - run.start;
  }
  return Bytes(sum);
}

}  // namespace uzswap::os
