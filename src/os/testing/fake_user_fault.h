// FakeUserFault: a simulated address space of a program, so that a test can step the pager.
//
//   the pager's side     UserFaultPort and AddressSpace, with the kernel's answers
//   the program's side   threads that touch pages and change mappings, one step at a time
//
// The model (Linux 6.18, by its source and by experiment):
//   - Faults are read before events. A thread has one fault at a time. Waking the thread removes
//     its fault from the queue if it was not read yet.
//   - While a change of mappings is announced, Move, Copy and Zero answer kRetry. The announcement
//     ends when the thread has run again after its event was read.
//   - A Copy across the border of an area answers kGone.
//   - kExists, kGone, kBusy (pinned, shared with a child), kRefused (protection, lock, border of
//     an area). A call that stops in the middle answers kRetry with done_bytes > 0.
//   - mremap reports the unmap of the old mapping at its target, then the move, then the unmap of
//     its source. Growing in place reports nothing.
//
// A change has several steps. Each call of Step does one:
//
//   Begin...      [announced; the mappings are already changed, except for a discard]
//   kToQueue   -> kUnread  -> (the pager reads) -> kToSettle -> next event, or kToZap, or kOver
//
// So a test can force every order of program, kernel and pager. Touches never sleep: a thread that
// must wait gets kWaiting, and the test repeats the touch after the pager has worked. The
// ...Blocking forms are for tests with real threads.
//
// One lock guards all. Any thread may call any method. For tests only: it allocates.
//
// Size: it models one address space as both sides see it. 12 methods are those of UserFaultPort
// and AddressSpace. The others are a system call, an injection or a query each, or a private step.
// They all change the same memory, queues and announcements under one lock.
#ifndef UZSWAP_OS_TESTING_FAKE_USER_FAULT_H_
#define UZSWAP_OS_TESTING_FAKE_USER_FAULT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "os/address_space.h"
#include "os/testing/fake_memory.h"
#include "os/user_fault_port.h"

namespace uzswap::os {

class FakeUserFault final : public UserFaultPort, public AddressSpace {
 public:
  enum class Call : uint8_t { kMove, kCopy, kZero, kRegister, kPoison, kRelease };
  enum class Access : uint8_t { kDone, kWaiting, kSegv, kSigbus };
  enum class ChangeState : uint8_t { kToQueue, kUnread, kToSettle, kToZap, kOver };
  using ChangeId = size_t;

  FakeUserFault();

  // --- The pager's side ---
  size_t Read(std::span<UserFaultEvent> events) override UZ_EXCLUDES(mutex_);
  void WaitReadable(int timeout_ms) override UZ_EXCLUDES(mutex_);
  PortResult Move(uint64_t destination, uint64_t source, uint64_t length) override
      UZ_EXCLUDES(mutex_);
  PortResult MoveFromExecutable(uint64_t destination, uint64_t source, uint64_t length) override
      UZ_EXCLUDES(mutex_);
  PortResult Copy(uint64_t destination, const void* source, uint64_t length) override
      UZ_EXCLUDES(mutex_);
  PortResult Zero(uint64_t destination) override UZ_EXCLUDES(mutex_);
  PortResult Poison(uint64_t destination) override UZ_EXCLUDES(mutex_);
  void Wake(uint64_t start, uint64_t length) override UZ_EXCLUDES(mutex_);
  void HoldWakes(bool held) override UZ_EXCLUDES(mutex_);
  Result<void> Register(uint64_t start, uint64_t length) override UZ_EXCLUDES(mutex_);

  bool Find(uint64_t address, MapsEntry* entry) override UZ_EXCLUDES(mutex_);
  bool FindOnward(uint64_t address, MapsEntry* entry) override UZ_EXCLUDES(mutex_);
  Result<size_t> Present(uint64_t start, uint64_t end, PresentRun* runs, size_t capacity,
                         uint64_t* walked) override UZ_EXCLUDES(mutex_);
  bool SharedContent(uint64_t address) override UZ_EXCLUDES(mutex_);

  // A second userfaultfd over the same memory, without events.
  UserFaultPort& release_port() { return release_port_; }

  // --- Injection ---
  // Call number `nth` of this kind from now on (1: the next) answers `outcome` and does nothing.
  // A Move or a Copy first does `done_pages` of its pages. A call that answers kRetry because of an
  // event counts too, but its answer is not changed.
  void Inject(Call call, uint64_t nth, PortOutcome outcome, uint64_t done_pages = 0)
      UZ_EXCLUDES(mutex_);
  // A Move (kRelease: through release_port()) moves `reported` pages and then `unreported` more
  // pages. Its answer does not count the second part, and no thread is woken for it. If `reported`
  // is 0 the call answers kExists. Linux 6.18 does that, see
  // docs/decisions/0007-moves-are-recounted.md.
  void InjectUnreported(Call call, uint64_t nth, uint64_t reported, uint64_t unreported)
      UZ_EXCLUDES(mutex_);
  [[nodiscard]] uint64_t calls(Call call) UZ_EXCLUDES(mutex_);

  // --- The program: mappings without an announcement ---
  // Requires: no mapping is there.
  void Map(uint64_t start, uint64_t length, FakeProtection protection = {}) UZ_EXCLUDES(mutex_);
  void Protect(uint64_t start, uint64_t length, FakeProtection protection) UZ_EXCLUDES(mutex_);
  // mremap that grows the mapping in place. Requires: the range above the mapping is free.
  void GrowInPlace(uint64_t end, uint64_t new_end) UZ_EXCLUDES(mutex_);
  void SetPinned(uint64_t address, bool pinned) UZ_EXCLUDES(mutex_);

  // --- The program: changes of mappings, step by step ---
  ChangeId BeginUnmap(uint64_t start, uint64_t length) UZ_EXCLUDES(mutex_);
  // mmap(MAP_FIXED): the old mapping is unmapped, the new mapping exists at once.
  ChangeId BeginReplace(uint64_t start, uint64_t length, FakeProtection protection = {})
      UZ_EXCLUDES(mutex_);
  // mremap to `target`, which replaces the mapping there. `keep_source` is MREMAP_DONTUNMAP.
  // Requires: the source is one mapping, or a part of one.
  ChangeId BeginRemap(uint64_t start, uint64_t length, uint64_t new_length, uint64_t target,
                      bool keep_source = false) UZ_EXCLUDES(mutex_);
  // madvise(MADV_DONTNEED). Requires: no hole in the range.
  ChangeId BeginDiscard(uint64_t start, uint64_t length) UZ_EXCLUDES(mutex_);
  // madvise(MADV_FREE) while memory is not short: the same event, and every page stays.
  ChangeId BeginFree(uint64_t start, uint64_t length) UZ_EXCLUDES(mutex_);
  [[nodiscard]] ChangeState StateOf(ChangeId change) UZ_EXCLUDES(mutex_);
  // Does the next step. False if the pager must read first, or the change is over.
  bool Step(ChangeId change) UZ_EXCLUDES(mutex_);
  // True if no change is announced.
  [[nodiscard]] bool Quiet() UZ_EXCLUDES(mutex_);

  // --- The program: threads ---
  Access Touch(uint32_t thread, uint64_t address, bool write) UZ_EXCLUDES(mutex_);
  Access Load(uint32_t thread, uint64_t address, std::span<std::byte> to) UZ_EXCLUDES(mutex_);
  Access Store(uint32_t thread, uint64_t address, std::span<const std::byte> from)
      UZ_EXCLUDES(mutex_);
  [[nodiscard]] bool IsWaiting(uint32_t thread) UZ_EXCLUDES(mutex_);

  // --- With real threads ---
  Access LoadBlocking(uint32_t thread, uint64_t address, std::span<std::byte> to);
  Access StoreBlocking(uint32_t thread, uint64_t address, std::span<const std::byte> from);
  void FinishBlocking(ChangeId change);
  // From now on WaitReadable does not sleep.
  void Interrupt();

  // --- Fork ---
  // For a forked child: it has no registrations, messages, waiting threads and announced changes of
  // the parent, and shares every page with the parent.
  void BecomeChild() UZ_EXCLUDES(mutex_);
  void NoteForked() UZ_EXCLUDES(mutex_);

  // --- State, for assertions ---
  [[nodiscard]] bool IsPresent(uint64_t address) UZ_EXCLUDES(mutex_);
  [[nodiscard]] bool IsPoisoned(uint64_t address) UZ_EXCLUDES(mutex_);
  [[nodiscard]] bool IsMapped(uint64_t address) UZ_EXCLUDES(mutex_);
  [[nodiscard]] bool IsRegistered(uint64_t address) UZ_EXCLUDES(mutex_);
  // Copies a present page; false if there is none.
  bool Peek(uint64_t address, std::span<std::byte> to) UZ_EXCLUDES(mutex_);
  [[nodiscard]] size_t program_pages() UZ_EXCLUDES(mutex_);
  [[nodiscard]] size_t unread_faults() UZ_EXCLUDES(mutex_);

 private:
  static constexpr int kCalls = 6;
  static constexpr int kMainUserfaultfd = 1;
  static constexpr int kReleaseUserfaultfd = 2;

  // The second userfaultfd. It works on the same memory, but has its own registrations and no
  // events.
  class ReleasePort final : public UserFaultPort {
   public:
    explicit ReleasePort(FakeUserFault& fake) : fake_(fake) {}
    size_t Read(std::span<UserFaultEvent>) override { return 0; }
    void WaitReadable(int) override {}
    PortResult Move(uint64_t destination, uint64_t source, uint64_t length) override;
    PortResult MoveFromExecutable(uint64_t, uint64_t, uint64_t) override {
      return {PortOutcome::kRefused, 0};
    }
    PortResult Copy(uint64_t, const void*, uint64_t) override { return {PortOutcome::kGone, 0}; }
    PortResult Zero(uint64_t) override { return {PortOutcome::kGone, 0}; }
    PortResult Poison(uint64_t) override { return {PortOutcome::kGone, 0}; }
    void Wake(uint64_t, uint64_t) override {}
    Result<void> Register(uint64_t start, uint64_t length) override;

   private:
    FakeUserFault& fake_;
  };

  struct Change {
    std::deque<UserFaultEvent> events;  // announced, not queued yet
    ChangeState state = ChangeState::kOver;
    // For a discard: the part whose event was sent, and the part after it.
    uint64_t zap_start = 0;
    uint64_t zap_end = 0;
    uint64_t discard_at = 0;
    uint64_t discard_end = 0;
    bool keeps = false;  // MADV_FREE
  };
  struct QueuedEvent {
    UserFaultEvent event;
    ChangeId change = 0;
  };
  struct Waiter {
    uint64_t page = 0;
    bool write = false;
    bool unread = false;
  };
  struct Injection {
    uint64_t at = 0;
    PortOutcome outcome = PortOutcome::kRetry;
    uint64_t done_pages = 0;
    uint64_t unreported_pages = 0;
  };

  // Counts the call. Returns its injection, or nullptr.
  const Injection* Count(Call call) UZ_REQUIRES(mutex_);
  // A call of the pager: counted, injected, refused while a change is announced.
  PortResult MoveCounted(uint64_t destination, uint64_t source, uint64_t length)
      UZ_REQUIRES(mutex_);
  PortResult MoveLocked(int userfaultfd, uint64_t destination, uint64_t source, uint64_t length)
      UZ_REQUIRES(mutex_);
  PortResult MoveAs(const Injection& injection, int userfaultfd, uint64_t destination,
                    uint64_t source, uint64_t length) UZ_REQUIRES(mutex_);
  // Wakes no thread.
  PortResult MovePages(int userfaultfd, uint64_t destination, uint64_t source, uint64_t length)
      UZ_REQUIRES(mutex_);
  PortOutcome MayMove(int userfaultfd, uint64_t destination, uint64_t source, uint64_t length)
      UZ_REQUIRES(mutex_);
  PortResult PopulateLocked(uint64_t destination, const std::byte* bytes, uint64_t length)
      UZ_REQUIRES(mutex_);
  Result<void> RegisterLocked(int userfaultfd, uint64_t start, uint64_t length, bool engine)
      UZ_REQUIRES(mutex_);
  void WakeLocked(uint64_t start, uint64_t length) UZ_REQUIRES(mutex_);
  void Notify();
  // Sleeps until the generation differs from `seen`. Ends the test after the deadline.
  void AwaitNotify(uint32_t seen, uint64_t deadline_ns);

  // Unmaps, and adds the events of the unmap to `change`.
  void UnmapLocked(uint64_t start, uint64_t end, Change& change) UZ_REQUIRES(mutex_);
  void ContinueDiscard(Change& change) UZ_REQUIRES(mutex_);
  ChangeId Announce(Change change) UZ_REQUIRES(mutex_);
  Access TouchLocked(uint32_t thread, uint64_t address, bool write) UZ_REQUIRES(mutex_);
  MapsEntry EntryOf(const FakeArea& area) UZ_REQUIRES(mutex_);
  void ForgetDiscardedWindow(uint64_t start, uint64_t length) UZ_REQUIRES(mutex_);

  Mutex mutex_{LockRank::kLeaf};
  bool wakes_held_ UZ_GUARDED_BY(mutex_) = false;
  ReleasePort release_port_{*this};
  FakeMemory memory_ UZ_GUARDED_BY(mutex_);
  std::map<uint32_t, Waiter> waiters_ UZ_GUARDED_BY(mutex_);  // by thread
  std::deque<uint32_t> faults_ UZ_GUARDED_BY(mutex_);         // threads, in order
  std::deque<QueuedEvent> events_ UZ_GUARDED_BY(mutex_);
  std::vector<Change> changes_ UZ_GUARDED_BY(mutex_);
  size_t announced_ UZ_GUARDED_BY(mutex_) = 0;
  uint64_t calls_[kCalls] UZ_GUARDED_BY(mutex_) = {};
  std::vector<Injection> injections_[kCalls] UZ_GUARDED_BY(mutex_);

  // Incremented (release) whenever a sleeping thread may have work to do.
  std::atomic<uint32_t> generation_{0};
  std::atomic<bool> interrupted_{false};
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_FAKE_USER_FAULT_H_
