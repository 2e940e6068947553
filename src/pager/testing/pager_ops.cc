#include "pager/testing/pager_ops.h"

namespace uzswap {
namespace {

using ChangeState = os::FakeUserFault::ChangeState;
using Call = os::FakeUserFault::Call;

constexpr size_t kBatchesMax = 3;

const char* NameOf(PagerOpKind kind) {
  static constexpr const char* kNames[kPagerOpKinds] = {
      "kRead",       "kWrite",       "kFill",       "kRunThreads", "kServePass",   "kMap",
      "kAdopt",      "kUnmap",       "kReplace",    "kRemap",      "kGrow",        "kDiscard",
      "kStepChange", "kIsolate",     "kBeginBatch", "kStoreBatch", "kFinishBatch", "kCompress",
      "kRelease",    "kSetHeadroom", "kProtect",    "kPin",        "kRefuse",      "kPinResident",
      "kWriteBack",  "kEndWrites",   "kBeginRead",  "kDoRead",     "kDeviceError", "kBeginSharing",
      "kEndSharing"};
  return kNames[static_cast<int>(kind)];
}

bool Overlap(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count) {
  return a < b + b_count && b < a + a_count;
}

}  // namespace

std::string ToText(const PagerOp& op) {
  return std::string("{PagerOpKind::") + NameOf(op.kind) + ", " + std::to_string(op.a) + ", " +
         std::to_string(op.b) + "},";
}

PagerHistory::PagerHistory()
    : world_({.frames = 32,
              .pool_frames = 24,
              .headroom = 40,
              .overdraft = 8,
              .device_bytes = kDeviceBytes}) {
  Map(0, 32);
  world_.Adopt(0, 32);
}

PagerHistory::~PagerHistory() {
  while (!batches_.empty()) FinishBatchAt(0);
}

bool PagerHistory::Finish() {
  world_.DoOpenWork();
  for (const OpenChange& open : changes_) world_.Finish(open.change);
  changes_.clear();
  while (!batches_.empty()) FinishBatchAt(0);
  for (int round = 0; round < 4; ++round) {
    world_.Pump();
    RunThreads();
  }
  // A read goes through whatever the program's protections were.
  world_.fake.Protect(PagerWorld::At(0), kPages << kPageShift, {});
  return world_.ReadEverything() && world_.UnmapEverything();
}

PagerHistory::Span PagerHistory::MappingOf(uint64_t page) {
  os::MapsEntry entry;
  if (!world_.fake.Find(PagerWorld::At(page), &entry)) return {};
  return {(entry.start - PagerWorld::kBase) >> kPageShift, (entry.end - entry.start) >> kPageShift};
}

bool PagerHistory::IsFree(uint64_t page, uint64_t pages) {
  os::MapsEntry entry;
  return !world_.fake.FindOnward(PagerWorld::At(page), &entry) ||
         entry.start >= PagerWorld::At(page + pages);
}

// A program knows an address only when the call that gave it has returned, and does not change
// a mapping under another thread's call.
bool PagerHistory::IsInvolved(uint64_t page, uint64_t pages) const {
  for (const OpenChange& open : changes_) {
    if (Overlap(page, pages, open.first, open.count)) return true;
  }
  return false;
}

bool PagerHistory::IsKnown(uint64_t page, uint64_t pages) {
  for (uint64_t i = page; i < page + pages; ++i) {
    if (!PagerTestPeer::IsRegistered(world_.pager, PagerWorld::At(i))) return false;
  }
  return true;
}

bool PagerHistory::MustWait(const OpenChange& open) {
  if (world_.fake.StateOf(open.change) != ChangeState::kToSettle) return false;
  if (!open.waits_for) return false;
  const ChangeState former = world_.fake.StateOf(*open.waits_for);
  return former == ChangeState::kToQueue || former == ChangeState::kUnread;
}

void PagerHistory::Start(uint32_t number, uint64_t page, bool write, std::byte value) {
  Thread& thread = threads_[number];
  if (thread.busy) return;
  thread = {true, write, page, value};
  RunThreads();
}

// Every thread runs as far as it gets.
void PagerHistory::RunThreads() {
  for (uint32_t i = 0; i < kThreads; ++i) {
    Thread& thread = threads_[i];
    if (!thread.busy || world_.fake.IsWaiting(i + 1)) continue;
    const Access access = thread.write ? world_.TryWrite(i + 1, thread.page, thread.value)
                                       : world_.TryRead(i + 1, thread.page);
    if (access != Access::kWaiting) thread.busy = false;
  }
}

// The sweep is long where nothing can be taken, and tells nothing.
void PagerHistory::Isolate(size_t want) {
  const uint64_t resident = world_.pager.TakeSnapshot().resident.raw();
  if (resident > 8) world_.pager.Isolate(want < resident - 8 ? want : resident - 8);
}

void PagerHistory::Map(uint64_t page, uint64_t pages) {
  if (IsFree(page, pages)) world_.Map(page, pages);
}

void PagerHistory::Remap(const PagerOp& op) {
  const Span span = MappingOf(op.a % kPages);
  const uint64_t first = op.a % kPages;
  if (span.count == 0 || changes_.size() == kChangesMax) return;
  const uint64_t count = span.first + span.count - first;
  const uint64_t target = op.b % kPages;
  if (IsInvolved(first, count) || Overlap(first, count, target, count)) return;
  // It may land on one range of which the pager does not know yet that it is free, not on two.
  size_t former = 0;
  // An unmap also names addresses that the pager never knew. Once the remap has returned, such a
  // late event looks like one of the new owner. So the remap does not return before it was read:
  // see docs/design/races.md on known cases that are not handled.
  std::optional<PagerWorld::ChangeId> waits_for;
  for (const OpenChange& open : changes_) {
    if (!Overlap(target, count, open.first, open.count)) continue;
    if (open.kind == OpenChange::Kind::kDiscard) return;
    ++former;
    if (open.kind == OpenChange::Kind::kVacate && !IsKnown(target, count)) waits_for = open.change;
  }
  if (former > 1 || (former == 1 && !IsFree(target, count))) return;
  const auto change = world_.BeginRemap(first, count, count, target);
  changes_.push_back({change, first, count, OpenChange::Kind::kRemap, waits_for});
  changes_.push_back({change, target, count, OpenChange::Kind::kRemap, waits_for});
}

void PagerHistory::Grow(const PagerOp& op) {
  const Span span = MappingOf(op.a % kPages);
  const uint64_t count = 1 + op.b % 8;
  const uint64_t end = span.first + span.count;
  if (span.count == 0 || end + count > kPages || !IsFree(end, count)) return;
  if (IsInvolved(span.first, span.count + count) || !changes_.empty()) return;
  world_.fake.GrowInPlace(PagerWorld::At(end), PagerWorld::At(end + count));
  // Touched at once: see docs/design/races.md on growth that nobody knows of.
  world_.Write(end + count - 1, std::byte{0x5a}, kThreads + 1);
}

void PagerHistory::Discard(const PagerOp& op) {
  const Span span = MappingOf(op.a % kPages);
  if (span.count == 0 || changes_.size() >= kChangesMax) return;
  const uint64_t first = op.a % kPages;
  const uint64_t left = span.first + span.count - first;
  const uint64_t count = 1 + op.b % left;
  if (IsInvolved(first, count)) return;
  changes_.push_back({world_.BeginDiscard(first, count), first, count, OpenChange::Kind::kDiscard});
}

void PagerHistory::StepChange(uint64_t which) {
  if (changes_.empty()) return;
  const OpenChange& open = changes_[which % changes_.size()];
  if (MustWait(open)) return;
  const auto change = open.change;
  world_.Step(change);
  if (world_.fake.StateOf(change) != ChangeState::kOver) return;
  std::erase_if(changes_, [change](const OpenChange& other) { return other.change == change; });
}

void PagerHistory::FinishBatchAt(size_t index) {
  OpenBatch& open = batches_[index];
  if (!open.stored) PagerTestPeer::StoreBatch(world_.pager, world_.context, &open.batch);
  PagerTestPeer::FinishBatch(world_.pager, open.batch);
  batches_.erase(batches_.begin() + static_cast<ptrdiff_t>(index));
}

// Answers that a kernel may give at any time. Others would be lies that the pager may believe.
void PagerHistory::Refuse(const PagerOp& op) {
  const uint64_t nth = 1 + op.b % 3;
  switch (op.a % 7) {
    case 0:
      return world_.fake.Inject(Call::kMove, nth, os::PortOutcome::kRetry);
    case 1:
      return world_.fake.Inject(Call::kMove, nth, os::PortOutcome::kRetry, 1);
    case 2:
      return world_.fake.Inject(Call::kCopy, nth, os::PortOutcome::kNoMemory);
    case 3:
      return world_.fake.Inject(Call::kZero, nth, os::PortOutcome::kRetry);
    case 4:
      return world_.fake.Inject(Call::kMove, nth, os::PortOutcome::kBusy);
    case 5:
      return world_.fake.InjectUnreported(Call::kMove, nth, op.b / 3 % 3, 1 + op.b / 9 % 8);
    case 6:
      return world_.fake.InjectUnreported(Call::kRelease, nth, op.b / 3 % 3, 1 + op.b / 9 % 8);
    default:
      return;
  }
}

void PagerHistory::Fill(const PagerOp& op) {
  const uint64_t page = op.a % kPages;
  PagerWorld::Page content;
  FillPageOf(static_cast<PageKind>(op.b % kPageKinds), op.b, content);
  if (world_.IsWritable(page)) world_.FillBytes(page, content);
}

// Begins an unmap or a replacement.
void PagerHistory::Vacate(const PagerOp& op) {
  const uint64_t page = op.a % kPages;
  const uint64_t count = 1 + op.b % 16;
  if (IsInvolved(page, count) || page + count > kPages) return;
  if (changes_.size() >= kChangesMax) return;
  changes_.push_back({op.kind == PagerOpKind::kUnmap ? world_.BeginUnmap(page, count)
                                                     : world_.BeginReplace(page, count),
                      page, count, OpenChange::Kind::kVacate});
}

void PagerHistory::StoreLastBatch() {
  if (batches_.empty() || batches_.back().stored) return;
  PagerTestPeer::StoreBatch(world_.pager, world_.context, &batches_.back().batch);
  batches_.back().stored = true;
}

// Exactly one read may fail in a row: a page that is asked for twice is never lost.
void PagerHistory::PerformOnDevice(const PagerOp& op) {
  switch (op.kind) {
    case PagerOpKind::kWriteBack:
      for (int i = 0; i <= op.a % 8; ++i) static_cast<void>(world_.writeback.Step());
      return;
    case PagerOpKind::kEndWrites:
      return world_.writeback.WaitForWrites();
    case PagerOpKind::kBeginRead:
      return world_.BeginOpenWork();
    case PagerOpKind::kDoRead:
      return world_.DoOpenWork();
    default:
      if (op.b % 4 == 0) world_.device.Plan(os::IoFault::kError, world_.device.calls() + 1);
      return;
  }
}

void PagerHistory::ServePass() {
  world_.DoOpenWork();
  PagerTestPeer::ServePass(world_.pager);
}

void PagerHistory::Pin(uint64_t page, bool pinned) {
  if (world_.fake.IsPresent(PagerWorld::At(page))) {
    world_.fake.SetPinned(PagerWorld::At(page), pinned);
  }
}

void PagerHistory::Perform(const PagerOp& op) {
  const uint64_t page = op.a % kPages;
  const uint64_t count = 1 + op.b % 16;
  const Span span = MappingOf(page);
  switch (op.kind) {
    case PagerOpKind::kRead:
      return Start(op.b % kThreads, page, false, {});
    case PagerOpKind::kWrite:
      return Start(op.b % kThreads, page, true, static_cast<std::byte>(op.b >> 2));
    case PagerOpKind::kFill:
      if (span.count != 0 && changes_.empty()) Fill(op);
      return;
    case PagerOpKind::kRunThreads:
      return RunThreads();
    case PagerOpKind::kServePass:
      return ServePass();
    case PagerOpKind::kMap:
      return Map(page, page + count <= kPages ? count : kPages - page);
    case PagerOpKind::kAdopt:
      if (span.count != 0) world_.Adopt(span.first, span.count);
      return;
    case PagerOpKind::kUnmap:
    case PagerOpKind::kReplace:
      return Vacate(op);
    case PagerOpKind::kRemap:
      return Remap(op);
    case PagerOpKind::kGrow:
      return Grow(op);
    case PagerOpKind::kDiscard:
      return Discard(op);
    case PagerOpKind::kStepChange:
      return StepChange(op.a);
    case PagerOpKind::kIsolate:
      return Isolate(count);
    case PagerOpKind::kBeginBatch:
      if (batches_.size() == kBatchesMax) return;
      PagerTestPeer::BeginBatch(world_.pager, count, &batches_.emplace_back().batch);
      return;
    case PagerOpKind::kStoreBatch:
      return StoreLastBatch();
    case PagerOpKind::kFinishBatch:
      if (!batches_.empty()) FinishBatchAt(op.a % batches_.size());
      return;
    case PagerOpKind::kCompress:
      world_.pager.StoreOldest(world_.context, count);
      return;
    case PagerOpKind::kRelease:
      world_.pager.ReleaseFrames(count);
      return;
    case PagerOpKind::kSetHeadroom:
      return world_.headroom.Set(static_cast<int64_t>(op.b % 64) - 32);
    case PagerOpKind::kProtect:
      if (span.count == 0) return;
      return world_.fake.Protect(PagerWorld::At(span.first), span.count << kPageShift,
                                 {.writable = op.b % 4 != 0, .locked = op.b % 4 == 1});
    case PagerOpKind::kPin:
      return Pin(page, op.b % 2 == 0);
    case PagerOpKind::kRefuse:
      return Refuse(op);
    case PagerOpKind::kPinResident:
      if (op.b % 8 != 0) return;
      return world_.pager.PinResident({PagerWorld::At(page), PagerWorld::At(page + 1)});
    case PagerOpKind::kBeginSharing:
      return PagerTestPeer::BeginSharing(world_.pager);
    case PagerOpKind::kEndSharing:
      static_cast<void>(world_.pager.EndSharing());
      return;
    default:
      return PerformOnDevice(op);
  }
}

}  // namespace uzswap
