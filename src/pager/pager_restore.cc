// Restore: every page back into the memory of a forked child that cannot be served.
#include <algorithm>

#include "pager/pager.h"

namespace uzswap {

Result<void> Pager::RestoreInChild(const Parts& parts) {
  const Result<void> done = RebuildInChild(parts);
  return done.ok() ? RestoreAll(parts) : done;
}

Result<void> Pager::RestoreAll(const Parts& parts) {
  MutexLock lock(mutex_);
  UseParts(parts);
  // Nobody would free what is kept.
  reclaimer_.contents().EndSharing();
  for (size_t position = 0; position < map_.table().count(); ++position) {
    const RegisteredRange range = map_.table().at(position);
    for (uint64_t address = range.start; address < range.end; address += kPageSize) {
      const Result<void> done = RestorePage(range.IndexOf(address), address);
      if (!done.ok()) return done;
    }
  }
  return {};
}

Result<void> Pager::RestorePage(PageIndex index, uint64_t address) {
  const PageEntry entry = map_.table().entry(index);
  if (!entry.swapped_out()) return {};
  alignas(kPageSize) std::byte buffer[kPageSize];
  const std::byte* content = buffer;
  bool from_frame = false;
  switch (entry.state()) {
    case PageState::kStaged:
    case PageState::kInFlight:
      content = reclaimer_.frames().data(entry.frame());
      from_frame = true;
      break;
    case PageState::kSameFilled:
      std::fill_n(reinterpret_cast<uint32_t*>(buffer), kPageSize / sizeof(uint32_t),
                  entry.pattern());
      break;
    default: {
      const LoadedPage loaded = parts_.store->Load(
          serving_.cache, entry.slot(), PageBytes(buffer, kPageSize), LoadFrom::kAnywhere);
      if (loaded != LoadedPage::kLoaded) {
        return Error{serving_.cache.last_error(), "a page cannot be read from the backing store"};
      }
    }
  }
  if (parts_.port->Copy(address, content, kPageSize).outcome != os::PortOutcome::kDone) {
    return Error{0, "a page of a forked child cannot be written"};
  }
  parts_.statistics->restored_pages.Add();
  if (from_frame) {
    reclaimer_.contents().NoteCopiedBack(index);
  } else {
    reclaimer_.contents().NotePopulated(index);
  }
  return {};
}

}  // namespace uzswap
