#include "os/own_memory.h"

#include <algorithm>

namespace uzswap::os {
namespace {

// Calls `visit` for each run of present pages of that purpose.
template <typename Visitor>
void ForEachRun(AddressSpace& space, MappingPurpose purpose, Visitor&& visit) {
  std::optional<OwnRange> range = NextOwnRange(0);
  for (; range; range = NextOwnRange(range->end)) {
    if (range->purpose != purpose) continue;
    PresentWalk walk(space, range->start, range->end);
    PresentRun run;
    while (walk.Next(&run)) visit(run);
  }
}

}  // namespace

Bytes PresentOwnBytes(AddressSpace& space, MappingPurpose purpose) {
  uint64_t sum = 0;
  ForEachRun(space, purpose, [&sum](const PresentRun& run) { sum += run.end - run.start; });
  return Bytes(sum);
}

PageSharing SampleOwnSharing(LinuxAddressSpace& space, MappingPurpose purpose, uint64_t stride,
                             uint64_t phase) {
  constexpr uint64_t kBlock = PagemapReader::kEntriesMax * kPageSize;
  PageSharing sum;
  ForEachRun(space, purpose, [&](const PresentRun& run) {
    uint64_t block = run.start / kBlock;
    block += (phase + stride - block % stride) % stride;
    for (; block * kBlock < run.end; block += stride) {
      const uint64_t start = std::max(run.start, block * kBlock);
      const PageSharing seen = space.SharingOf(start, std::min(run.end, (block + 1) * kBlock));
      sum.present += seen.present;
      sum.mapped_once += seen.mapped_once;
    }
  });
  return sum;
}

}  // namespace uzswap::os
