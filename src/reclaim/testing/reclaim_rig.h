// ReclaimRig: a page table, staging frames and the evictor, without a kernel and without pages.
//
//     FakeMover   answers moves from a script, and remembers them; touches no memory
//     FakeSink    answers stores from a script, and knows which slots are allocated
//     ClockPolicy is the real one
#ifndef UZSWAP_RECLAIM_TESTING_RECLAIM_RIG_H_
#define UZSWAP_RECLAIM_TESTING_RECLAIM_RIG_H_

#include <deque>
#include <set>
#include <vector>

#include "reclaim/clock_policy.h"
#include "reclaim/evictor.h"
#include "reclaim/testing/clock_policy_peer.h"

namespace uzswap {

class FakeMover final : public PageMover {
 public:
  struct Call {
    char kind;  // I, R (return), F (release), C (break COW)
    uint64_t address;
    FrameId first;
    size_t pages;
  };

  os::PortResult Isolate(uint64_t address, FrameId first, size_t pages) override {
    calls.push_back({'I', address, first, pages});
    return Answer(pages);
  }
  os::PortResult Return(uint64_t address, FrameId first, size_t pages) override {
    calls.push_back({'R', address, first, pages});
    return Answer(pages);
  }
  os::PortResult Release(FrameId first, size_t pages) override {
    calls.push_back({'F', 0, first, pages});
    return Answer(pages);
  }
  void BreakCow(FrameId frame) override { calls.push_back({'C', 0, frame, 1}); }

  // The next answers: an outcome after so many pages. When there are none, all pages are done.
  void Then(os::PortOutcome outcome, size_t done_pages = 0) {
    script_.push_back({outcome, done_pages << kPageShift});
  }
  [[nodiscard]] size_t CountOf(char kind) const {
    size_t count = 0;
    for (const Call& call : calls) count += call.kind == kind ? 1 : 0;
    return count;
  }

  std::vector<Call> calls;

 private:
  os::PortResult Answer(size_t pages) {
    if (script_.empty()) return {os::PortOutcome::kDone, pages << kPageShift};
    const os::PortResult result = script_.front();
    script_.pop_front();
    return result;
  }

  std::deque<os::PortResult> script_;
};

class FakeSink final : public StoreSink {
 public:
  void ReadKept(CacheContext&, std::span<const SwapSlot> kept) override {
    read_kept.insert(read_kept.end(), kept.begin(), kept.end());
  }
  // A page that keeps a slot is unchanged, unless the script says otherwise.
  StoredPage Store(CacheContext&, ConstPageBytes, SwapSlot kept) override {
    StoredAs as = kept.valid() ? StoredAs::kUnchanged : StoredAs::kSlot;
    if (!script.empty()) {
      as = script.front();
      script.pop_front();
    }
    if (as == StoredAs::kUnchanged) return {as, kept};
    if (as != StoredAs::kSlot) return {as, SwapSlot(), 0x1234};
    allocated.insert(next_);
    return {as, SwapSlot(next_++), 0};
  }
  void Free(CacheContext&, SwapSlot slot) override { UZ_CHECK_EQ(allocated.erase(slot.raw()), 1u); }
  [[nodiscard]] Bytes PoolBytes() const override { return ToBytes(pool); }

  std::vector<SwapSlot> read_kept;
  std::deque<StoredAs> script;
  std::set<uint32_t> allocated;
  PageCount pool{0};

 private:
  uint32_t next_ = 0;
};

class ReclaimRig {
 public:
  static constexpr uint64_t kBase = uint64_t{1} << 40;
  static constexpr uint64_t At(uint64_t page) { return kBase + (page << kPageShift); }

  // `pages` resident pages in one range, and so many staging frames.
  explicit ReclaimRig(uint64_t pages, uint64_t staging_frames = 64) : policy(table) {
    UZ_CHECK(table.Init().ok());
    UZ_CHECK(frames.Init(PageCount(staging_frames)).ok());
    contents.Init({.table = &table,
                   .frames = &frames,
                   .sink = &sink,
                   .context = &context,
                   .statistics = &statistics,
                   .observer = nullptr});
    evictor.Init({.table = &table,
                  .frames = &frames,
                  .contents = &contents,
                  .policy = &policy,
                  .mover = &mover,
                  .sink = &sink,
                  .headroom = &headroom,
                  .statistics = &statistics});
    UZ_CHECK(table.Add({At(0), At(pages)}).ok());
    for (uint64_t page = 0; page < pages; ++page) {
      table.Transition(Index(page), PageState::kResident);
    }
    ClockPolicyPeer::Aim(policy, At(0));
  }
  ~ReclaimRig() {
    table.ForEachTracked({0, UINT64_MAX}, [this](PageIndex index) { contents.Discard(index); });
    contents.Audit();
    UZ_CHECK(sink.allocated.empty());
  }

  PageIndex Index(uint64_t page) { return table.Find(At(page))->IndexOf(At(page)); }
  PageState StateOf(uint64_t page) { return table.entry(Index(page)).state(); }
  // Begins, stores and finishes.
  size_t StoreOldest(size_t max) {
    Evictor::StoreBatch batch;
    evictor.BeginStore(max, &batch);
    Evictor::Store(sink, context, &batch, Evictor::KeptOnDisk::kRead);
    return evictor.FinishStore(batch);
  }
  // zswpout = zswpin + invalidated + stored.
  [[nodiscard]] bool AccountBalances() const {
    return statistics.zswpout.Get() == statistics.zswpin.Get() +
                                           statistics.invalidated_pages.Get() +
                                           statistics.stored_pages.Get();
  }

  Statistics statistics{};
  Headroom headroom;
  CacheContext context;
  PageTable table;
  StagingFrames frames;
  FakeMover mover;
  FakeSink sink;
  PageContents contents;
  ClockPolicy policy;
  Evictor evictor;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_TESTING_RECLAIM_RIG_H_
