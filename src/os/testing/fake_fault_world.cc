// The world of FakeUserFault: nothing runs but by the calls of the test.
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <utility>

#include "os/testing/fake_user_fault.h"
#include "os/testing/fault_world.h"

namespace uzswap::os {
namespace {

using Kind = MappingChange::Kind;

class FakeFaultWorld final : public FaultWorld {
 public:
  const char* Start() override { return nullptr; }
  UserFaultPort& port() override { return fake_; }
  UserFaultPort& release_port() override { return fake_.release_port(); }
  AddressSpace& space() override { return fake_; }

  void Map(AddressRange range, FakeProtection protection) override {
    fake_.Map(range.start, range.size().raw(), protection);
  }
  void Protect(AddressRange range, FakeProtection protection) override {
    fake_.Protect(range.start, range.size().raw(), protection);
  }
  void StoreNow(uint64_t address, uint64_t value) override {
    ASSERT_EQ(StoreWord(kTestThread, address, value), FakeUserFault::Access::kDone);
  }
  void LoadNow(uint64_t address) override {
    ASSERT_EQ(fake_.Touch(kTestThread, address, false), FakeUserFault::Access::kDone);
  }
  bool Pin(uint64_t address) override {
    pinned_ = address;
    fake_.SetPinned(address, true);
    return true;
  }
  void Unpin() override { fake_.SetPinned(pinned_, false); }
  void Fork() override { fake_.NoteForked(); }

  void BeginLoad(uint32_t thread, uint64_t address) override {
    Begin(thread, {Work::What::kLoad, address, 0, 0, {}});
  }
  void BeginStore(uint32_t thread, uint64_t address, uint64_t value) override {
    Begin(thread, {Work::What::kStore, address, value, 0, {}});
  }
  void BeginChange(uint32_t thread, const MappingChange& change) override {
    if (change.kind == Kind::kRemove) {
      // The kernel refuses it for private anonymous memory, which is all that the fake has.
      Begin(thread, {});
      work_[thread].end = {ThreadEnd::How::kDone, EINVAL};
      return;
    }
    Begin(thread, {Work::What::kChange, 0, 0, StartChange(change), {}});
  }
  ThreadEnd Look(uint32_t thread) override {
    Advance(thread);
    return work_[thread].end;
  }
  ThreadEnd Await(uint32_t thread) override {
    Advance(thread);
    EXPECT_NE(work_[thread].end.how, ThreadEnd::How::kNot) << "thread " << thread << " waits";
    return work_[thread].end;
  }
  void AwaitEvent(uint32_t thread) override {
    Advance(thread);
    EXPECT_EQ(fake_.StateOf(work_[thread].change), FakeUserFault::ChangeState::kUnread);
  }
  void AwaitUnreadFaults(size_t count) override {
    for (uint32_t thread = 1; thread <= kWorldThreads; ++thread) Advance(thread);
    EXPECT_EQ(fake_.unread_faults(), count);
  }
  std::vector<UserFaultEvent> Read(size_t most) override {
    std::vector<UserFaultEvent> events(most);
    events.resize(fake_.Read(events));
    return events;
  }
  uint64_t Peek(uint64_t address) override {
    std::byte page[kPageSize] = {};
    EXPECT_TRUE(fake_.Peek(address, page));
    uint64_t value = 0;
    memcpy(&value, page, sizeof(value));
    return value;
  }

 private:
  static constexpr uint32_t kTestThread = 99;

  struct Work {
    enum class What : uint8_t { kNothing, kLoad, kStore, kChange };
    What what = What::kNothing;
    uint64_t address = 0;
    uint64_t value = 0;
    FakeUserFault::ChangeId change = 0;
    ThreadEnd end;
  };

  FakeUserFault::Access StoreWord(uint32_t thread, uint64_t address, uint64_t value) {
    std::byte bytes[sizeof(value)];
    memcpy(bytes, &value, sizeof(value));
    return fake_.Store(thread, address, bytes);
  }

  FakeUserFault::ChangeId StartChange(const MappingChange& change) {
    const uint64_t start = change.range.start;
    const uint64_t length = change.range.size().raw();
    switch (change.kind) {
      case Kind::kUnmap:
        return fake_.BeginUnmap(start, length);
      case Kind::kReplace:
        return fake_.BeginReplace(start, length);
      case Kind::kRemap:
        return fake_.BeginRemap(start, length, change.new_length, change.target);
      case Kind::kRemapKeepSource:
        return fake_.BeginRemap(start, length, change.new_length, change.target, true);
      case Kind::kResizeInPlace:
        if (change.new_length < length) {
          return fake_.BeginUnmap(start + change.new_length, length - change.new_length);
        }
        fake_.GrowInPlace(change.range.end, start + change.new_length);
        return fake_.BeginUnmap(kWorldEnd, kPageSize);  // nothing is announced
      case Kind::kDontNeed:
      case Kind::kFree:
      case Kind::kRemove:
        return fake_.BeginDiscard(start, length);
    }
    return 0;
  }

  void Begin(uint32_t thread, Work work) {
    work_[thread] = work;
    Advance(thread);
  }

  // What the thread does until it has to wait.
  void Advance(uint32_t thread) {
    Work& work = work_[thread];
    if (work.end.how != ThreadEnd::How::kNot) return;
    std::byte word[sizeof(uint64_t)] = {};
    FakeUserFault::Access access = FakeUserFault::Access::kWaiting;
    switch (work.what) {
      case Work::What::kNothing:
        return;
      case Work::What::kLoad:
        access = fake_.Load(thread, work.address, word);
        break;
      case Work::What::kStore:
        access = StoreWord(thread, work.address, work.value);
        break;
      case Work::What::kChange:
        while (fake_.Step(work.change)) {
        }
        if (fake_.StateOf(work.change) == FakeUserFault::ChangeState::kOver) {
          work.end.how = ThreadEnd::How::kDone;
        }
        return;
    }
    switch (access) {
      case FakeUserFault::Access::kWaiting:
        return;
      case FakeUserFault::Access::kDone:
        work.end.how = ThreadEnd::How::kDone;
        memcpy(&work.end.value, word, sizeof(word));
        return;
      case FakeUserFault::Access::kSegv:
        work.end.how = ThreadEnd::How::kSegv;
        return;
      case FakeUserFault::Access::kSigbus:
        work.end.how = ThreadEnd::How::kSigbus;
        return;
    }
  }

  FakeUserFault fake_;
  Work work_[kWorldThreads + 1];
  uint64_t pinned_ = 0;
};

}  // namespace

uint64_t FaultWorld::MakeFrames(uint64_t pages) {
  Result<Mapping> made = Mapping::Create(ToBytes(PageCount(pages)), "frames");
  UZ_CHECK(made.ok());
  frames_.push_back(std::move(made).value());
  frames_.back().ForbidHugePages();
  const auto start = reinterpret_cast<uint64_t>(frames_.back().data());
  UZ_CHECK(port().Register(start, pages << kPageShift).ok());
  return start;
}

std::unique_ptr<FaultWorld> MakeFakeFaultWorld() { return std::make_unique<FakeFaultWorld>(); }

}  // namespace uzswap::os
