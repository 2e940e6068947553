#include "engine/range_scanner.h"

#include "os/mapping.h"

namespace uzswap {
namespace {

// struct pthread of glibc is 2304 bytes around the robust list's head; a page to either side
// covers it wherever the head lies in it.
constexpr uint64_t kDescriptorReach = kPageSize;

constexpr uint64_t kGuardBytesMax = 64 << 10;

}  // namespace

Result<void> RangeScanner::Open() {
  Result<void> opened = maps_.Open();
  if (!opened.ok()) return opened;
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
}

void RangeScanner::SetThreadsForTest(const uint64_t* hints, size_t count) {
  for (size_t i = 0; i < count; ++i) threads_[i] = hints[i];
  thread_count_ = count;
}

bool RangeScanner::HoldsThread(uint64_t start, uint64_t end) const {
  for (size_t i = 0; i < thread_count_; ++i) {
    if (start <= threads_[i] && threads_[i] < end) return true;
  }
  return false;
}

AdoptionVerdict RangeScanner::Judge(const os::MapsEntry& entry,
                                    const os::MapsEntry& previous) const {
  if (!entry.anonymous || entry.shared || entry.kernel) return AdoptionVerdict::kNotAnonymous;
  if (!entry.readable || !entry.writable || entry.executable) return AdoptionVerdict::kProtection;
  const uint64_t size = entry.end - entry.start;
  if (size < kPagesMin * kPageSize) return AdoptionVerdict::kSmall;
  if (entry.stack) return AdoptionVerdict::kStack;
  if (os::IsOwnRange(entry.start, size)) return AdoptionVerdict::kOwn;
  if (size <= kStackBytesMax && HoldsThread(entry.start, entry.end)) {
    return AdoptionVerdict::kStack;
  }
  // The stack of a thread that has ended, which the C library keeps for the next one.
  const uint64_t guard = previous.end - previous.start;
  const bool guarded = previous.end == entry.start && previous.anonymous && !previous.readable &&
                       !previous.writable && guard <= kGuardBytesMax;
  if (guarded && guard + size == default_stack_bytes_) return AdoptionVerdict::kStack;
  return AdoptionVerdict::kAdopt;
}

size_t RangeScanner::Scan(RangeSink& sink) {
  RefreshThreads();
  maps_.Rewind();
  size_t adopted = 0;
  os::MapsEntry previous;
  os::MapsEntry entry;
  for (; maps_.Next(&entry); previous = entry) {
    if (Judge(entry, previous) != AdoptionVerdict::kAdopt) continue;
    if (sink.Adopt(entry.start, entry.end)) ++adopted;
  }
  for (size_t i = 0; i < thread_count_; ++i) {
    sink.PinResident(threads_[i] - kDescriptorReach, threads_[i] + kDescriptorReach);
  }
  return adopted;
}

}  // namespace uzswap
