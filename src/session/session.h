// Session: the memory shared by one tree of processes under `uzswap run`.
//
//   runner ── memfd ──┬── CMD            every process maps the same memory; exec'ed ones find
//                     ├── its child      it by UZSWAP_SESSION=/proc/<runner>/fd/<n>, forked
//                     └── ...            ones inherit the mapping
//
//   +--------------------+-------------------------------+--------------------------------+
//   | header             | directory: 512 cache lines    | 512 x Statistics               |
//   |  magic, options    |  word  start  namespace       |  (memory is taken only when a  |
//   |  peaks of the tree |  usage_bytes  pool_bytes      |   slot is used)                |
//   |  warnings given    |  name                         |                                |
//   |  account of the    |                               |                                |
//   |  processes gone    |                               |                                |
//   +--------------------+-------------------------------+--------------------------------+
//
//   word = generation:24 | state:8 | pid:32, changed by compare-and-swap only
//
//        Claim               fields written          Retire, or found dead
//   kFree ────> kClaiming ────────────────> kLive ─────────────────────────> kDead
//     ^                                                                        │ Fold
//     └──────────────────────────── kFolding <─────────────────────────────────┘
//
// Every claim takes a new generation: who judged a process dead cannot bury its successor.
//
// The budget of the tree is the sum of usage_bytes over the slots in state kLive. A process
// that was killed counts until somebody notices: the runner does once a second, and whoever
// is about to reclaim because of TreeUsage should first call MarkDead (cheap: a few system
// calls a process). Folding adds a dead slot's figures to the account in the header:
//
//   sums add up; peaks keep the larger; gauges add up to "what they held at exit", so that
//   for the whole tree   zswpout = zswpin + invalidated_pages + stored_pages(now) + (at exit)
//
// Only the runner folds, because it also keeps a record of each process; others do when the
// table is full. A process killed in the middle of a claim or a fold (microseconds) leaves its
// slot unusable for good; it counts for nothing.
//
// The same process may claim twice: exec starts a new program under the old pid. The former
// slot is marked dead by Claim. A forked child calls Claim for itself and must not touch the
// slot of its parent, whose ProcessSlot it has by copy.
//
// This runs inside foreign programs: no heap, no stdio, no locale, no exceptions. Any thread
// and any process may call everything here, except what is said to be for one.
#ifndef UZSWAP_SESSION_SESSION_H_
#define UZSWAP_SESSION_SESSION_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/statistics.h"
#include "base/units.h"
#include "base/wear_account.h"
#include "os/process_identity.h"
#include "os/shared_memory.h"
#include "os/text_line.h"
#include "session/options.h"

namespace uzswap {

inline constexpr uint32_t kSessionSlots = 512;

enum class SlotState : uint8_t { kFree, kClaiming, kLive, kDead, kFolding };

// Things said once a tree, not once a process.
enum class Warning : uint32_t {
  kOverLimit = 0,  // the limit cannot be kept
  kTableFull = 1,  // more processes than slots
  kBacking = 2,    // the backing store takes nothing
};

namespace internal {
struct SessionLayout;
struct SlotEntry;
}  // namespace internal

// What one process writes into the session: its place in the table. A plain view, copied
// freely; valid as long as the Session's mapping and until Retire.
class ProcessSlot {
 public:
  [[nodiscard]] uint32_t index() const { return index_; }
  [[nodiscard]] Statistics& statistics() const;
  // What this process holds now: resident, pool and own metadata together, and the pool alone.
  // Raises the peaks of the tree and returns its usage.
  Bytes Publish(Bytes usage, Bytes pool) const;

 private:
  friend class Session;
  ProcessSlot(internal::SessionLayout* layout, uint32_t index, uint64_t word)
      : layout_(layout), index_(index), word_(word) {}

  internal::SessionLayout* layout_;
  uint32_t index_;
  uint64_t word_;  // as claimed: generation included
};

class Session {
 public:
  // The runner's: a memfd whose path children get.
  static Result<Session> Create(const Options& options);
  // For a process that finds no runner: shared with what it forks, not with what it execs.
  static Result<Session> CreatePrivate(const Options& options);
  // Fails with the errno of open, or EPROTO when the memory is not of this version.
  static Result<Session> Open(const char* path);
  // What the preload library calls, with the `envp` of its constructor: the session
  // UZSWAP_SESSION names; failing that a private one, if UZSWAP_LIMIT gives a limit; failing
  // that an error whose text says what was missing (the library then stays inert).
  static Result<Session> FromEnvironment(const char* const* environment);

  [[nodiscard]] Options options() const;
  // Where children find it. Requires: made by Create.
  using Path = os::TextLine<64>;
  [[nodiscard]] Path path() const;

  // Takes a slot for the calling process, its statistics at zero. Nothing when all are taken:
  // such a process had better not be managed, since nobody would see what it holds.
  std::optional<ProcessSlot> Claim(std::string_view program_name);
  // The owner's last word: from here on its usage counts no more.
  void Retire(const ProcessSlot& slot);

  // Sum over living slots. Costs one cache line a process.
  [[nodiscard]] Bytes TreeUsage() const;
  [[nodiscard]] Bytes TreePool() const;
  [[nodiscard]] Bytes TreeUsagePeak() const;
  [[nodiscard]] Bytes TreePoolPeak() const;
  // Live processes now; processes ever.
  [[nodiscard]] uint32_t LiveCount() const;
  [[nodiscard]] uint64_t ClaimCount() const;
  [[nodiscard]] uint64_t RefusedClaims() const;

  // Marks the slots of processes that are gone; returns how many.
  uint32_t MarkDead();
  // Calls visit(SlotView) for each dead slot, then folds it into exited() and frees it.
  template <typename Visitor>
  uint32_t FoldDead(Visitor&& visit);
  // Calls visit(SlotView) for each living slot.
  template <typename Visitor>
  void VisitLive(Visitor&& visit) const;

  // The account of the processes that are gone; gauges mean "at exit" here.
  [[nodiscard]] const Statistics& exited() const;

  // The tree's account of bytes written to backing stores.
  [[nodiscard]] WearAccount* wear_account() const;
  // What the living have on disk, as they last said.
  [[nodiscard]] Bytes TreeBacking() const;

  // True for the first caller in the tree: it gives the warning.
  bool TakeWarning(Warning warning);

  // Leaves a line for the runner to print. False if there is no runner, or no room: each run has
  // room for kMessages, and nobody has more to say than that.
  bool Say(std::string_view line);
  // The runner's: calls visit(std::string_view) for each line not told yet.
  template <typename Visitor>
  void TakeMessages(Visitor&& visit);

  static constexpr uint32_t kMessages = 16;
  static constexpr uint32_t kMessageBytes = 504;

  // A slot as an observer sees it. The references are valid during the visit only.
  struct SlotView {
    uint32_t index;
    os::ProcessIdentity process;
    os::TextLine<25> name;
    Bytes usage;
    const Statistics& statistics;
  };

 private:
  friend struct SessionTestPeer;

  explicit Session(os::SharedMemory memory) : memory_(std::move(memory)) {}
  [[nodiscard]] std::string_view MessageAt(uint32_t index) const;
  static Result<Session> Format(Result<os::SharedMemory> memory, const Options& options);

  [[nodiscard]] internal::SessionLayout& layout() const;
  [[nodiscard]] uint32_t SlotsUsed() const;
  [[nodiscard]] SlotView View(uint32_t index, uint64_t word) const;
  std::optional<ProcessSlot> ClaimAs(const os::ProcessIdentity& self, std::string_view name);
  std::optional<uint32_t> TakeFreeSlot(uint32_t pid, uint64_t* word);
  void MarkFormerLife(const os::ProcessIdentity& self);
  // The word of the slot if it is in `state`, else nothing.
  [[nodiscard]] std::optional<uint64_t> WordIf(uint32_t index, SlotState state) const;
  // Dead to folding; false if somebody else was faster.
  bool BeginFold(uint32_t index, uint64_t word);
  void FinishFold(uint32_t index, uint64_t word);

  os::SharedMemory memory_;
  uint32_t messages_told_ = 0;  // the runner's
};

template <typename Visitor>
uint32_t Session::FoldDead(Visitor&& visit) {
  uint32_t folded = 0;
  for (uint32_t i = 0; i < SlotsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, SlotState::kDead);
    if (!word || !BeginFold(i, *word)) continue;
    visit(View(i, *word));
    FinishFold(i, *word);
    ++folded;
  }
  return folded;
}

template <typename Visitor>
void Session::TakeMessages(Visitor&& visit) {
  for (; messages_told_ < kMessages; ++messages_told_) {
    const std::string_view line = MessageAt(messages_told_);
    if (line.empty()) return;
    visit(line);
  }
}

template <typename Visitor>
void Session::VisitLive(Visitor&& visit) const {
  for (uint32_t i = 0; i < SlotsUsed(); ++i) {
    if (const std::optional<uint64_t> word = WordIf(i, SlotState::kLive)) visit(View(i, *word));
  }
}

}  // namespace uzswap

#endif  // UZSWAP_SESSION_SESSION_H_
