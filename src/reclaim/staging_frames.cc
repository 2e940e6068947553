#include "reclaim/staging_frames.h"

#include <utility>

namespace uzswap {

Result<void> StagingFrames::Init(PageCount capacity) {
  capacity_ = capacity.raw();
  auto memory = os::Mapping::Create(ToBytes(capacity), "the swap cache");
  if (!memory.ok()) return memory.error();
  auto frames = os::VirtualArray<Frame>::Create(capacity_, "swap cache descriptors");
  if (!frames.ok()) return frames.error();
  const size_t words = Bitmap::WordsFor(capacity_);
  auto bits = os::VirtualArray<uint64_t>::Create(2 * words, "swap cache bitmaps");
  if (!bits.ok()) return bits.error();
  memory_ = std::move(memory).value();
  frames_ = std::move(frames).value();
  bits_ = std::move(bits).value();
  empty_ = Bitmap(bits_.data(), capacity_);
  spent_ = Bitmap(bits_.data() + words, capacity_);
  for (size_t i = 0; i < capacity_; ++i) {
    frames_[i].owner = kNoOwner;
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
    case State::kSpent:
      spent_.Clear(id.raw());
      break;
    case State::kCached:
      inactive_.Remove(frame);
      break;
    case State::kBusy:
      --busy_;
      break;
  }
  frame.state = to;
  switch (to) {
    case State::kEmpty:
      empty_.Set(id.raw());
      frame.owner = kNoOwner;
      break;
    case State::kSpent:
      spent_.Set(id.raw());
      frame.owner = kNoOwner;
      break;
    case State::kCached:
      inactive_.PushBack(frame);
      break;
    case State::kBusy:
      ++busy_;
      break;
  }
}

void StagingFrames::NoteCached(FrameId frame, PageIndex owner) {
  Change(frame, State::kEmpty, State::kCached);
  frames_[frame.raw()].owner = owner;
}

void StagingFrames::NoteMovedBack(FrameId frame) { Change(frame, State::kCached, State::kEmpty); }

void StagingFrames::NoteDrained(FrameId frame) { Change(frame, State::kSpent, State::kEmpty); }

void StagingFrames::NoteDropped(FrameId frame) { Change(frame, State::kCached, State::kSpent); }

void StagingFrames::NoteDone(FrameId frame) { Change(frame, State::kBusy, State::kSpent); }

void StagingFrames::NoteReturned(FrameId frame) { Change(frame, State::kBusy, State::kCached); }

FrameId StagingFrames::TakeOldest() {
  Frame* oldest = inactive_.front();
  if (oldest == nullptr) return FrameId();
  const FrameId id(static_cast<uint32_t>(oldest - frames_.data()));
  Change(id, State::kCached, State::kBusy);
  return id;
}

void StagingFrames::Rejuvenate(FrameId frame) { Change(frame, State::kCached, State::kCached); }

void StagingFrames::SetOwner(FrameId id, PageIndex owner) {
  Frame& frame = frames_[id.raw()];
  UZ_CHECK(frame.state == State::kCached || frame.state == State::kBusy);
  frame.owner = owner;
}

void StagingFrames::Audit() const {
  size_t empty = 0;
  size_t spent = 0;
  size_t cached = 0;
  size_t busy = 0;
  for (size_t i = 0; i < capacity_; ++i) {
    const Frame& frame = frames_[i];
    UZ_CHECK_EQ(empty_.Test(i), frame.state == State::kEmpty);
    UZ_CHECK_EQ(spent_.Test(i), frame.state == State::kSpent);
    UZ_CHECK_EQ(frame.link.linked(), frame.state == State::kCached);
    if (frame.state == State::kCached) UZ_CHECK_NE(frame.owner, kNoOwner);
    empty += frame.state == State::kEmpty ? 1 : 0;
    spent += frame.state == State::kSpent ? 1 : 0;
    cached += frame.state == State::kCached ? 1 : 0;
    busy += frame.state == State::kBusy ? 1 : 0;
  }
  UZ_CHECK_EQ(empty, empty_.count());
  UZ_CHECK_EQ(spent, spent_.count());
  UZ_CHECK_EQ(cached, inactive_.size());
  UZ_CHECK_EQ(busy, busy_);
  inactive_.Audit();
}

}  // namespace uzswap
