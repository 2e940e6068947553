#include "reclaim/staging_frames.h"

#include <utility>

namespace uzswap {

Result<void> StagingFrames::Init(PageCount capacity) {
  capacity_ = capacity.raw();
  auto memory = os::Mapping::Create(ToBytes(capacity), "the staging frames", kPageSize,
                                    os::MappingPurpose::kPageFrames);
  if (!memory.ok()) return memory.error();
  auto frames = os::VirtualArray<Frame>::Create(capacity_, "staging frame descriptors");
  if (!frames.ok()) return frames.error();
  const size_t words = Bitmap::WordsFor(capacity_);
  auto bits = os::VirtualArray<uint64_t>::Create(2 * words, "staging frame bitmaps");
  if (!bits.ok()) return bits.error();
  memory_ = std::move(memory).value();
  frames_ = std::move(frames).value();
  bits_ = std::move(bits).value();
  empty_ = Bitmap(bits_.data(), capacity_);
  to_free_ = Bitmap(bits_.data() + words, capacity_);
  for (size_t i = 0; i < capacity_; ++i) {
    frames_[i].owner = PageIndex();
    frames_[i].kept = SwapSlot();
    empty_.Set(i);
  }
  return {};
}

void StagingFrames::Change(FrameId id, State from, State to) {
  Frame& frame = frames_[id.raw()];
  UZ_CHECK_EQ(frame.state, from);
  switch (from) {
    case State::kEmpty:
      empty_.Clear(id.raw());
      break;
    case State::kToFree:
      to_free_.Clear(id.raw());
      break;
    case State::kStaged:
      inactive_.Remove(frame);
      break;
    case State::kStoring:
      --storing_;
      break;
  }
  frame.state = to;
  switch (to) {
    case State::kEmpty:
      empty_.Set(id.raw());
      UZ_CHECK(!frame.kept.valid());
      frame.owner = PageIndex();
      break;
    case State::kToFree:
      to_free_.Set(id.raw());
      UZ_CHECK(!frame.kept.valid());
      frame.owner = PageIndex();
      break;
    case State::kStaged:
      inactive_.PushBack(frame);
      break;
    case State::kStoring:
      ++storing_;
      break;
  }
}

void StagingFrames::NoteStaged(FrameId frame, PageIndex owner, SwapSlot kept) {
  Change(frame, State::kEmpty, State::kStaged);
  frames_[frame.raw()].owner = owner;
  frames_[frame.raw()].kept = kept;
}

void StagingFrames::NoteMovedBack(FrameId frame) { Change(frame, State::kStaged, State::kEmpty); }

void StagingFrames::NoteReleased(FrameId frame) { Change(frame, State::kToFree, State::kEmpty); }

void StagingFrames::NoteDropped(FrameId frame) { Change(frame, State::kStaged, State::kToFree); }

void StagingFrames::NoteStored(FrameId frame) { Change(frame, State::kStoring, State::kToFree); }

void StagingFrames::NoteStoreFailed(FrameId frame) {
  Change(frame, State::kStoring, State::kStaged);
}

FrameId StagingFrames::TakeOldest() {
  Frame* oldest = inactive_.front();
  if (oldest == nullptr) return FrameId();
  const FrameId id(static_cast<uint32_t>(oldest - frames_.data()));
  Change(id, State::kStaged, State::kStoring);
  return id;
}

void StagingFrames::SetOwner(FrameId id, PageIndex owner) {
  Frame& frame = frames_[id.raw()];
  UZ_CHECK(frame.state == State::kStaged || frame.state == State::kStoring);
  UZ_CHECK(owner.valid() || !frame.kept.valid());
  frame.owner = owner;
}

SwapSlot StagingFrames::TakeKeptSlot(FrameId frame) {
  return std::exchange(frames_[frame.raw()].kept, SwapSlot());
}

void StagingFrames::Audit() const {
  size_t empty = 0;
  size_t to_free = 0;
  size_t staged = 0;
  size_t storing = 0;
  for (size_t i = 0; i < capacity_; ++i) {
    const Frame& frame = frames_[i];
    UZ_CHECK_EQ(empty_.Test(i), frame.state == State::kEmpty);
    UZ_CHECK_EQ(to_free_.Test(i), frame.state == State::kToFree);
    UZ_CHECK_EQ(frame.link.linked(), frame.state == State::kStaged);
    if (frame.state == State::kStaged) UZ_CHECK(frame.owner.valid());
    if (!frame.owner.valid()) UZ_CHECK(!frame.kept.valid());
    empty += frame.state == State::kEmpty ? 1 : 0;
    to_free += frame.state == State::kToFree ? 1 : 0;
    staged += frame.state == State::kStaged ? 1 : 0;
    storing += frame.state == State::kStoring ? 1 : 0;
  }
  UZ_CHECK_EQ(empty, empty_.count());
  UZ_CHECK_EQ(to_free, to_free_.count());
  UZ_CHECK_EQ(staged, inactive_.size());
  UZ_CHECK_EQ(storing, storing_);
  inactive_.Audit();
}

}  // namespace uzswap
