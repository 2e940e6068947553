#include "engine/range_scanner.h"

#include <algorithm>

#include "os/mapping.h"

namespace uzswap {
namespace {

// struct pthread of glibc is 2304 bytes around the robust list's head; a page to either side
// covers it wherever the head lies in it.
constexpr uint64_t kDescriptorReach = kPageSize;

constexpr uint64_t kGuardBytesMax = 64 << 10;

bool IsOfLibraries(const os::MapsEntry& entry) { return !entry.anonymous || entry.kernel; }

}  // namespace

Result<void> RangeScanner::Open() {
  Result<void> opened = maps_.Open();
  if (!opened.ok()) return opened;
  budget_.SetMax(os::MaxMappings().value_or(MappingBudget::kUsualMax));
  return tasks_.Open();
}

void RangeScanner::Close() {
  maps_.Close();
  tasks_.Close();
}

void RangeScanner::Forget() {
  maps_.Forget();
  tasks_.Forget();
}

void RangeScanner::NoteThread(void* self, uint32_t thread) {
  auto* scanner = static_cast<RangeScanner*>(self);
  const uint64_t hint = os::ThreadDescriptorHint(thread);
  if (hint == 0 || scanner->thread_count_ == kThreadsMax) return;
  scanner->threads_[scanner->thread_count_++] = hint;
}

void RangeScanner::RefreshThreads() {
  thread_count_ = 0;
  tasks_.ForEach(NoteThread, this);
  std::sort(threads_, threads_ + thread_count_);
}

AddressRange RangeScanner::DescriptorIn(AddressRange range) const {
  const uint64_t* const last = threads_ + thread_count_;
  const uint64_t* const found = std::lower_bound(threads_, last, range.start);
  if (found == last || *found >= range.end) return {};
  return {*found - kDescriptorReach, *found + kDescriptorReach};
}

AdoptionVerdict RangeScanner::Judge(const os::MapsEntry& entry, const os::MapsEntry& previous,
                                    const os::MapsEntry& next) const {
  if (!entry.anonymous || entry.shared || entry.kernel) return AdoptionVerdict::kNotAnonymous;
  if (!entry.readable || !entry.writable) return AdoptionVerdict::kProtection;
  const uint64_t size = entry.end - entry.start;
  if (entry.stack) return AdoptionVerdict::kStack;
  if (os::IsOwnRange({entry.start, entry.end})) return AdoptionVerdict::kOwn;
  const bool beside = (previous.end == entry.start && IsOfLibraries(previous)) ||
                      (next.start == entry.end && IsOfLibraries(next));
  if (beside && size <= kLibraryPagesMax * kPageSize) return AdoptionVerdict::kLibraryData;
  if (!DescriptorIn({entry.start, entry.end}).empty()) return AdoptionVerdict::kAdopt;
  // The stack of a thread that has ended, which the C library keeps for the next one.
  const uint64_t guard = previous.end - previous.start;
  const bool guarded = previous.end == entry.start && previous.anonymous && !previous.readable &&
                       !previous.writable && guard <= kGuardBytesMax;
  if (guarded && guard + size == default_stack_bytes_) return AdoptionVerdict::kStack;
  return AdoptionVerdict::kAdopt;
}

size_t RangeScanner::Scan(RangeSink& sink) {
  // What mlockall of the program has locked meanwhile. Frames that are locked could take in pages
  // that the program wants to stay.
  os::UnlockOwnRanges();
  RefreshThreads();
  maps_.Rewind();
  budget_.BeginWalk();
  size_t adopted = 0;
  os::MapsEntry previous;
  os::MapsEntry entry;
  os::MapsEntry next;
  for (bool more = maps_.Next(&next); more; previous = entry) {
    entry = next;
    more = maps_.Next(&next);
    if (!more) next = {};
    const bool adoptable = Judge(entry, previous, next) == AdoptionVerdict::kAdopt;
    budget_.Note(entry, adoptable);
    if (!adoptable || !budget_.Permits(entry, previous, next)) continue;
    const AddressRange pinned = DescriptorIn({entry.start, entry.end});
    if (sink.Adopt({entry.start, entry.end}, pinned)) ++adopted;
  }
  budget_.EndWalk();
  // Threads that began during the walk are among them.
  RefreshThreads();
  for (size_t i = 0; i < thread_count_; ++i) {
    sink.PinResident({threads_[i] - kDescriptorReach, threads_[i] + kDescriptorReach});
  }
  return adopted;
}

void RangeScanner::ForEachProtected(void (*visit)(void* argument, AddressRange range),
                                    void* argument) {
  maps_.Rewind();
  for (os::MapsEntry entry; maps_.Next(&entry);) {
    if (Judge(entry, {}) != AdoptionVerdict::kProtection) continue;
    if (os::IsOwnRange({entry.start, entry.end})) continue;
    visit(argument, {entry.start, entry.end});
  }
}

}  // namespace uzswap
