// The world of the running kernel: threads that sleep in it, and one that looks on.
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <string>
#include <thread>

#include "base/testing/slowness.h"
#include "os/linux_user_fault.h"
#include "os/testing/fault_world.h"
#include "os/thread.h"

namespace uzswap::os {
namespace {

using Kind = MappingChange::Kind;
using Clock = std::chrono::steady_clock;

const std::chrono::seconds kDeadline = Slower(std::chrono::seconds(30));

// Does what the test asks for at once, so that a story that is wrong fails instead of hanging.
constexpr uint32_t kTestThread = kWorldThreads + 1;

// Volatile: a signal handler reads it, so the stores around an access must not be optimised away.
thread_local sigjmp_buf* volatile t_after_signal = nullptr;

void OnSignal(int signal) {
  if (t_after_signal != nullptr) siglongjmp(*t_after_signal, signal);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

volatile uint64_t& WordAt(uint64_t address) {
  return *reinterpret_cast<volatile uint64_t*>(address);
}

// Runs `access`, and says how it ended.
template <typename Function>
ThreadEnd UnderSignals(Function access) {
  sigjmp_buf after_signal;
  const int signal = sigsetjmp(after_signal, 1);
  if (signal != 0) {
    t_after_signal = nullptr;
    return {signal == SIGBUS ? ThreadEnd::How::kSigbus : ThreadEnd::How::kSegv, 0};
  }
  t_after_signal = &after_signal;
  const uint64_t value = access();
  t_after_signal = nullptr;
  return {ThreadEnd::How::kDone, value};
}

void* PointerTo(uint64_t address) { return reinterpret_cast<void*>(address); }

bool Apply(const MappingChange& change) {
  void* start = PointerTo(change.range.start);
  const uint64_t length = change.range.size().raw();
  switch (change.kind) {
    case Kind::kUnmap:
      return munmap(start, length) == 0;
    case Kind::kReplace:
      return mmap(start, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                  -1, 0) != MAP_FAILED;
    case Kind::kRemap:
      return mremap(start, length, change.new_length, MREMAP_MAYMOVE | MREMAP_FIXED,
                    PointerTo(change.target)) != MAP_FAILED;
    case Kind::kRemapKeepSource:
      return mremap(start, length, change.new_length,
                    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                    PointerTo(change.target)) != MAP_FAILED;
    case Kind::kResizeInPlace:
      return mremap(start, length, change.new_length, 0) != MAP_FAILED;
    case Kind::kDontNeed:
      return madvise(start, length, MADV_DONTNEED) == 0;
    case Kind::kFree:
      return madvise(start, length, MADV_FREE) == 0;
    case Kind::kRemove:
      return madvise(start, length, MADV_REMOVE) == 0;
  }
  return false;
}

// A thread of the program. It does what the test requests, one thing at a time.
class ProgramThread {
 public:
  ProgramThread() : thread_([this] { Run(); }) {}
  ~ProgramThread() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void Begin(std::function<ThreadEnd()> work) {
    {
      const std::lock_guard lock(mutex_);
      UZ_CHECK(!work_);
      work_ = std::move(work);
      end_ = {};
    }
    changed_.notify_all();
  }
  ThreadEnd Look() {
    const std::lock_guard lock(mutex_);
    return end_;
  }
  // kNot after the deadline.
  ThreadEnd Await() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kDeadline, [this] { return end_.how != ThreadEnd::How::kNot; });
    return end_;
  }
  // 0 until the thread has started.
  uint32_t number() { return number_.load(); }

 private:
  void Run() {
    number_.store(ThreadNumber());
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stop_ || work_; });
      if (stop_) return;
      const std::function<ThreadEnd()> work = std::exchange(work_, nullptr);
      lock.unlock();
      const ThreadEnd end = work();
      lock.lock();
      end_ = end;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<ThreadEnd()> work_;
  ThreadEnd end_;
  bool stop_ = false;
  std::atomic<uint32_t> number_{0};
  std::thread thread_;
};

// The descriptor of the newest userfaultfd of this process: LinuxUserFault keeps it to itself.
int NewestUserfaultfd() {
  for (int descriptor = 1023; descriptor >= 0; --descriptor) {
    const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
    char name[64] = {};
    if (readlink(link.c_str(), name, sizeof(name) - 1) < 0) continue;
    if (strcmp(name, "anon_inode:[userfaultfd]") == 0) return descriptor;
  }
  return -1;
}

std::string ReadSmallFile(const std::string& path) {
  char text[512] = {};
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return {};
  const ssize_t got = read(descriptor, text, sizeof(text) - 1);
  close(descriptor);
  return got > 0 ? std::string(text, static_cast<size_t>(got)) : std::string();
}

// Size: it is one object so that a story sees one interface; its members are the port and its
// descriptor, the threads, and what a story set up.
class KernelFaultWorld final : public FaultWorld {
 public:
  ~KernelFaultWorld() override {
    // Closing lets go of every thread that waits for a page or for an event to be read.
    port_.Close();
    release_port_.Close();
    threads_.reset();
    if (descriptor_ >= 0) munmap(PointerTo(kWorldStart), kWorldEnd - kWorldStart);
    if (ring_is_open_) io_uring_queue_exit(&ring_);
    space_.Close();
    std::signal(SIGSEGV, SIG_DFL);
    std::signal(SIGBUS, SIG_DFL);
  }

  const char* Start() override {
    if (!port_.Open(LinuxUserFault::Events::kAll).ok()) {
      return "userfaultfd with UFFDIO_MOVE (Linux 6.8) and permission to use it is not available";
    }
    descriptor_ = NewestUserfaultfd();
    UZ_CHECK_GE(descriptor_, 0);
    UZ_CHECK(release_port_.Open(LinuxUserFault::Events::kNone).ok());
    if (!space_.Open().ok()) return "PAGEMAP_SCAN (Linux 6.7) is not available";
    struct sigaction action {};
    action.sa_handler = OnSignal;
    UZ_CHECK_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
    UZ_CHECK_EQ(sigaction(SIGBUS, &action, nullptr), 0);
    threads_ = std::make_unique<std::array<ProgramThread, kTestThread>>();
    return nullptr;
  }
  UserFaultPort& port() override { return port_; }
  UserFaultPort& release_port() override { return release_port_; }
  AddressSpace& space() override { return space_; }

  void Map(AddressRange range, FakeProtection protection) override {
    int flags = protection.shared ? MAP_SHARED : MAP_PRIVATE;
    int file = -1;
    if (protection.anonymous) {
      flags |= MAP_ANONYMOUS;
    } else {
      file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    }
    void* mapped = mmap(PointerTo(range.start), range.size().raw(), BitsOf(protection),
                        flags | MAP_FIXED_NOREPLACE, file, 0);
    if (file >= 0) close(file);
    ASSERT_EQ(mapped, PointerTo(range.start)) << strerror(errno);
    // A kernel with large folios would populate the neighbours of a touched page.
    if (protection.anonymous) {
      ASSERT_EQ(madvise(mapped, range.size().raw(), MADV_NOHUGEPAGE), 0);
    }
    if (protection.locked) {
      ASSERT_EQ(mlock2(mapped, range.size().raw(), MLOCK_ONFAULT), 0) << strerror(errno);
    }
  }
  void Protect(AddressRange range, FakeProtection protection) override {
    ASSERT_EQ(mprotect(PointerTo(range.start), range.size().raw(), BitsOf(protection)), 0);
  }
  void StoreNow(uint64_t address, uint64_t value) override {
    BeginStore(kTestThread, address, value);
    EXPECT_EQ(Await(kTestThread).how, ThreadEnd::How::kDone) << "a store that needs no message";
  }
  void LoadNow(uint64_t address) override { Peek(address); }

  bool Pin(uint64_t address) override {
    if (!ring_is_open_ && io_uring_queue_init(2, &ring_, 0) != 0) return false;
    ring_is_open_ = true;
    const iovec buffer{PointerTo(address), kPageSize};
    return io_uring_register_buffers(&ring_, &buffer, 1) == 0;
  }
  void Unpin() override { ASSERT_EQ(io_uring_unregister_buffers(&ring_), 0); }
  void Fork() override {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }

  void BeginLoad(uint32_t thread, uint64_t address) override {
    At(thread).Begin(
        [address] { return UnderSignals([address]() -> uint64_t { return WordAt(address); }); });
  }
  void BeginStore(uint32_t thread, uint64_t address, uint64_t value) override {
    At(thread).Begin([address, value] {
      return UnderSignals([address, value]() -> uint64_t {
        WordAt(address) = value;
        return 0;
      });
    });
  }
  void BeginChange(uint32_t thread, const MappingChange& change) override {
    events_read_[thread - 1] = false;
    At(thread).Begin([change]() -> ThreadEnd {
      const bool done = Apply(change);
      return {ThreadEnd::How::kDone, done ? 0 : static_cast<uint64_t>(errno)};
    });
  }
  ThreadEnd Look(uint32_t thread) override { return At(thread).Look(); }
  ThreadEnd Await(uint32_t thread) override {
    const ThreadEnd end = stuck_ ? At(thread).Look() : At(thread).Await();
    stuck_ = stuck_ || end.how == ThreadEnd::How::kNot;
    EXPECT_NE(end.how, ThreadEnd::How::kNot)
        << "thread " << thread << " has not ended within the deadline; it waits in "
        << ReadSmallFile(TaskFile(thread, "wchan"));
    return end;
  }
  void AwaitEvent(uint32_t thread) override {
    // A thread whose event was just read may still be where it slept: then only the descriptor
    // shows it. Before its first event only its place does, for others may have queued theirs.
    AwaitThat("an event of a change", [&] {
      return events_read_[thread - 1] ? UnreadFaults() == 0 && IsReadable()
                                      : WaitsForReader(thread);
    });
  }
  void AwaitUnreadFaults(size_t count) override {
    AwaitThat("fault messages", [&] { return UnreadFaults() == count; });
  }
  std::vector<UserFaultEvent> Read(size_t most) override {
    std::vector<UserFaultEvent> events(most);
    events.resize(port_.Read(events));
    for (UserFaultEvent& event : events) {
      if (event.kind != UserFaultEvent::Kind::kPageFault) {
        for (bool& read : events_read_) read = true;
        continue;
      }
      for (uint32_t thread = 1; thread <= kWorldThreads; ++thread) {
        if (At(thread).number() == event.thread) event.thread = thread;
      }
    }
    return events;
  }
  uint64_t Peek(uint64_t address) override {
    BeginLoad(kTestThread, address);
    const ThreadEnd end = Await(kTestThread);
    EXPECT_EQ(end.how, ThreadEnd::How::kDone) << "a load that needs no message";
    return end.value;
  }

 private:
  static int BitsOf(const FakeProtection& protection) {
    return (protection.readable ? PROT_READ : 0) | (protection.writable ? PROT_WRITE : 0) |
           (protection.executable ? PROT_EXEC : 0);
  }

  ProgramThread& At(uint32_t thread) { return threads_->at(thread - 1); }

  template <typename Predicate>
  void AwaitThat(const char* what, Predicate holds) {
    const Clock::time_point deadline = Clock::now() + kDeadline;
    while (!holds()) {
      if (stuck_ || Clock::now() > deadline) {
        stuck_ = true;
        ADD_FAILURE() << "no " << what << " within the deadline";
        return;
      }
      YieldProcessor();
    }
  }

  std::string TaskFile(uint32_t thread, const char* name) {
    return "/proc/self/task/" + std::to_string(At(thread).number()) + "/" + name;
  }
  // The thread sleeps until its event is read.
  bool WaitsForReader(uint32_t thread) {
    const std::string function = ReadSmallFile(TaskFile(thread, "wchan"));
    if (function.find("userfaultfd_event_wait") != std::string::npos) return true;
    if (function.find_first_not_of('0') != std::string::npos) return false;
    // This kernel does not name functions: a deep sleep and a message must do.
    const std::string status = ReadSmallFile(TaskFile(thread, "stat"));
    const size_t name_end = status.rfind(") ");
    return name_end != std::string::npos && status.compare(name_end + 2, 1, "D") == 0 &&
           IsReadable();
  }
  size_t UnreadFaults() {
    unsigned long pending = 0;
    const std::string info = ReadSmallFile("/proc/self/fdinfo/" + std::to_string(descriptor_));
    const size_t at = info.find("pending:");
    if (at == std::string::npos || sscanf(info.c_str() + at, "pending: %lu", &pending) != 1) {
      ADD_FAILURE() << "fdinfo of a userfaultfd has no count of unread faults:\n" << info;
    }
    return pending;
  }
  [[nodiscard]] bool IsReadable() const {
    pollfd poll_descriptor{descriptor_, POLLIN, 0};
    return poll(&poll_descriptor, 1, 0) == 1;
  }

  LinuxUserFault port_;
  LinuxUserFault release_port_;
  LinuxAddressSpace space_;
  int descriptor_ = -1;  // of port_
  std::unique_ptr<std::array<ProgramThread, kTestThread>> threads_;
  bool events_read_[kWorldThreads] = {};  // an event was read since the thread's change began
  io_uring ring_{};
  bool ring_is_open_ = false;
  bool stuck_ = false;  // a deadline has passed: nothing waits any more
};

}  // namespace

std::unique_ptr<FaultWorld> MakeKernelFaultWorld() { return std::make_unique<KernelFaultWorld>(); }

}  // namespace uzswap::os
