// FakeBrokerPort: a kernel without processes and files, for tests of the broker's decisions.
//
// Descriptors are numbers. The fake knows which are open: closing one twice is a failed check, and
// open_count() shows what was leaked. Any call can be made to fail: fail_at counts all calls that
// return a Result.
#ifndef UZSWAP_BROKER_TESTING_FAKE_BROKER_PORT_H_
#define UZSWAP_BROKER_TESTING_FAKE_BROKER_PORT_H_

#include <cerrno>
#include <map>
#include <set>

#include "base/check.h"
#include "os/broker_port.h"

namespace uzswap::testing {

class FakeBrokerPort : public os::BrokerPort {
 public:
  // The test's side: a descriptor that is handed to the broker.
  int NewDescriptor() {
    open_.insert(next_);
    return next_++;
  }
  int NewPidfd(uint32_t pid) {
    const int pidfd = NewDescriptor();
    pidfds_[pidfd] = pid;
    return pidfd;
  }
  void End(uint32_t pid) { ended_.insert(pid); }
  void ShareMemory(uint32_t pid, uint32_t other) { memory_[pid] = memory_[other] = pid + other; }
  void Advance(uint64_t ms) { now_ms_ += ms; }
  [[nodiscard]] size_t open_count() const { return open_.size(); }
  [[nodiscard]] bool is_open(int descriptor) const { return open_.count(descriptor) != 0; }

  std::set<uint32_t> killed;
  std::set<int> unused_memory;
  std::map<uint32_t, uint32_t> parents;
  bool may_compare = true;
  int fail_at = -1;  // the call with this number fails, counted from 0
  int calls = 0;
  uint32_t last_pid = 0;  // of the last file or folder

  Result<int> OpenProcFile(uint32_t pid, os::ProcLeaf) override { return OpenOf(pid); }
  Result<int> OpenTaskFolder(uint32_t pid) override { return OpenOf(pid); }
  Result<int> OpenUserfaultfdDevice() override { return OpenOf(0); }
  Result<int> ReopenMemory(int descriptor) override {
    UZ_CHECK(is_open(descriptor));
    return OpenOf(0);
  }
  bool DescendsFrom(uint32_t pid, uint32_t ancestor) override {
    for (; parents.count(pid) != 0; pid = parents[pid]) {
      if (parents[pid] == ancestor) return true;
    }
    return false;
  }
  Result<uint32_t> ProcessOf(int pidfd) override {
    if (calls++ == fail_at) return Error{EMFILE, "injected"};
    const auto found = pidfds_.find(pidfd);
    if (found == pidfds_.end()) return Error{EBADF, "no pidfd"};
    if (ended_.count(found->second) != 0) return Error{ESRCH, "ended"};
    return found->second;
  }
  bool HasEnded(int pidfd) override { return ended_.count(pidfds_.at(pidfd)) != 0; }
  os::MemoryRelation CompareMemory(uint32_t pid, uint32_t other) override {
    if (!may_compare) return os::MemoryRelation::kUnknown;
    const bool same = pid == other || (memory_.count(pid) != 0 && memory_[pid] == memory_[other]);
    return same ? os::MemoryRelation::kSame : os::MemoryRelation::kDifferent;
  }
  bool MemoryInUse(int userfaultfd) override { return unused_memory.count(userfaultfd) == 0; }
  void Kill(int pidfd) override { killed.insert(pidfds_.at(pidfd)); }
  void Close(int descriptor) override { UZ_CHECK_EQ(open_.erase(descriptor), 1u); }
  uint64_t NowMs() override { return now_ms_; }

 private:
  Result<int> OpenOf(uint32_t pid) {
    last_pid = pid;
    if (calls++ == fail_at) return Error{EMFILE, "injected"};
    return NewDescriptor();
  }

  int next_ = 1000;
  uint64_t now_ms_ = 1;
  std::set<int> open_;
  std::map<int, uint32_t> pidfds_;
  std::map<uint32_t, uint32_t> memory_;
  std::set<uint32_t> ended_;
};

}  // namespace uzswap::testing

#endif  // UZSWAP_BROKER_TESTING_FAKE_BROKER_PORT_H_
