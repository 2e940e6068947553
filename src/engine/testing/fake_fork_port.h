// FakeForkPort: a process that forks, without one. Tests only.
//
//   log        what was asked of it, in order: "list", "freeze", "thaw", "rescue", "file"
//   swapped    pages (by their address) that are swapped out; a touch of one does not bring it in,
//   so
//              the test says what happens in `on_brought_in`
//
// With real threads: `mutex` guards the log; the rest is set before the threads start.
#ifndef UZSWAP_ENGINE_TESTING_FAKE_FORK_PORT_H_
#define UZSWAP_ENGINE_TESTING_FAKE_FORK_PORT_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/daemon_waker.h"
#include "engine/fork_coordinator.h"

namespace uzswap {

class FakeForkPort final : public ForkPort {
 public:
  void ListThreads() override { Note("list"); }
  void Freeze() override {
    Note("freeze");
    UZ_CHECK(!frozen.exchange(true));
    if (on_freeze) on_freeze();
  }
  void Rescue(uint32_t thread) override {
    rescued_thread = thread;
    Note("rescue");
    if (on_rescue) on_rescue();
  }
  void Thaw() override {
    Note("thaw");
    UZ_CHECK(frozen.exchange(false));
  }

  bool active() override { return is_active; }
  void WakeDaemon() override {
    ++wakes;
    waker.Wake();
  }
  const uint64_t* thread_hints(size_t* count) override {
    *count = hints.size();
    return hints.data();
  }
  Residence Where(uint64_t address) override {
    UZ_CHECK(!frozen.load());
    return WhereIs(address);
  }
  Residence WhereFrozen(uint64_t address) override {
    UZ_CHECK(frozen.load());
    return WhereIs(address);
  }
  void NoteBroughtIn() override {
    ++brought_in;
    if (on_brought_in) on_brought_in();
  }
  Statistics& statistics() override { return figures; }
  void OpenForChild() override {
    UZ_CHECK(frozen.load());
    Note("file");
  }

  std::vector<std::string> Log() {
    const std::lock_guard<std::mutex> lock(mutex);
    return log;
  }

  bool is_active = true;
  std::atomic<bool> frozen{false};
  std::set<uint64_t> registered;
  std::set<uint64_t> swapped;
  std::vector<uint64_t> hints;
  std::function<void()> on_freeze;
  std::function<void()> on_rescue;
  std::function<void()> on_brought_in;
  std::atomic<uint32_t> rescued_thread{0};
  std::atomic<int> wakes{0};
  std::atomic<int> brought_in{0};
  DaemonWaker waker;
  Statistics figures{};

 private:
  Residence WhereIs(uint64_t address) {
    if (swapped.count(address) != 0) return Residence::kSwappedOut;
    return registered.count(address) != 0 ? Residence::kInProgram : Residence::kNotRegistered;
  }
  void Note(const char* what) {
    const std::lock_guard<std::mutex> lock(mutex);
    log.emplace_back(what);
  }

  std::mutex mutex;
  std::vector<std::string> log;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_TESTING_FAKE_FORK_PORT_H_
