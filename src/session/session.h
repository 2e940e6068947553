// Session: the memory shared by one tree of processes under `uzswap run`.
//
//   runner ── memfd ──┬── CMD            every process maps the same memory; a program that was
//                     ├── its child      exec'ed finds it by UZSWAP_SESSION=/proc/<runner>/fd/<n>,
//                     └── ...            a forked child inherits the mapping
//
//   +--------------------+-------------------------------+--------------------------------+
//   | header             | 512 process records           | 512 x Statistics               |
//   |  magic, options    |                               |  (memory is allocated when a   |
//   |  peaks of the tree |  word  start  namespace       |   record is used)              |
//   |  warnings given    |  usage_bytes  pool_bytes      |                                |
//   |  figures of ended  |  name  engine                 |                                |
//   |  processes         |                               |                                |
//   +--------------------+-------------------------------+--------------------------------+
//
//   word = generation:24 | state:8 | pid:32, changed by compare-and-swap only
//
//        Claim               fields written          Retire, or found dead
//   kFree ────> kClaiming ────────────────> kLive ─────────────────────────> kDead
//     ^                                                                        │ fold
//     └──────────────────────────── kFolding <─────────────────────────────────┘
//
// Every claim increments the generation. So a process that was found dead is never confused with
// the next one that uses its record.
//
// The usage of the tree is the sum of usage_bytes over the records in state kLive. A process
// that was killed counts until another one notices. The runner checks once a second; a process
// that is about to reclaim because of TreeUsage calls MarkDead first, which costs a few system
// calls for each process. To fold a dead record is to add its figures to those of the ended
// processes in the header:
//
//   sums are added; of peaks the larger is kept; gauges add up to "what they held at exit", so
//   for the whole tree   zswpout = zswpin + invalidated_pages + stored_pages(now) + (at exit)
//
// Usually only the runner folds, because it also reports each process. Other processes fold when
// the table is full. If a process is killed in the middle of a claim or a fold (microseconds), its
// record can not be used again, and counts for nothing.
//
// The engine can be in a process of its own (os/thread.h), which ends a moment after the program
// and counts until then. So a record with an engine is live as long as its engine.
//
// A process may claim twice: exec starts a new program under the old pid. Claim marks the former
// record dead, unless its engine is still there. A forked child calls Claim for itself. It must not
// use the record of its parent, whose ProcessRecord it has inherited.
//
// Session has more methods than other classes, because all of them work on one mapping: the
// options, the table (process_records.cc), the warnings and the messages of the tree.
//
// This runs inside foreign programs: no heap, no stdio, no locale, no exceptions. Any thread
// and any process may call everything here, except where a comment names one.
//
// Size: 63 methods, because the runner, the processes of the tree and observers each have their own
// calls on the same memory, and most are one line.
#ifndef UZSWAP_SESSION_SESSION_H_
#define UZSWAP_SESSION_SESSION_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/statistics.h"
#include "base/units.h"
#include "base/wear_account.h"
#include "os/process_identity.h"
#include "os/shared_memory.h"
#include "os/text_line.h"
#include "session/broker_record.h"
#include "session/options.h"

namespace uzswap {

inline constexpr uint32_t kProcessRecords = 512;

enum class RecordState : uint8_t { kFree, kClaiming, kLive, kDead, kFolding };

// Warnings that are given once for the whole tree.
enum class Warning : uint32_t {
  kOverLimit = 0,  // usage exceeds the limit
  kTableFull = 1,  // more processes than records
  kBacking = 2,    // nothing can be written to the backing store
  kUnwatched = 3,  // a process without a reclaim daemon
};

// What all processes of the tree have one bound for.
enum class SharedSpace : uint8_t { kPool, kFile };
inline constexpr size_t kSharedSpaces = 2;

// What became of a line for the user.
enum class SayOutcome : uint8_t {
  kQueued,    // the runner prints it
  kNoRunner,  // nobody prints it: the caller may
  kFull,      // the run has used up its messages
};

namespace internal {
struct SessionLayout;
struct RecordEntry;
}  // namespace internal

// The record of one process, for the process itself. A plain view that may be copied. It is valid
// until Retire, and as long as the Session's mapping.
class ProcessRecord {
 public:
  [[nodiscard]] uint32_t index() const { return index_; }
  [[nodiscard]] Statistics& statistics() const;
  // `usage` is what this process holds now: resident pages, pool and metadata. `pool` is the pool
  // alone, and `kept` what of it the process cannot give up. Raises the peaks of the tree, and
  // returns its usage.
  Bytes Publish(Bytes usage, Bytes pool, Bytes kept = Bytes(0)) const;
  // Reserves `more` of a `bound` of the tree. False if the tree would then hold more: nothing is
  // reserved. Of several processes that ask at once each can be refused, although there is room for
  // one of them; never are too many served.
  [[nodiscard]] bool Reserve(SharedSpace space, Bytes more, Bytes bound) const;
  // Requires: reserved before.
  void Return(SharedSpace space, Bytes less) const;

 private:
  friend class Session;
  ProcessRecord(internal::SessionLayout* layout, uint32_t index, uint64_t word)
      : layout_(layout), index_(index), word_(word) {}

  internal::SessionLayout* layout_;
  uint32_t index_;
  uint64_t word_;  // as claimed: generation included
};

// What the tree is asked to use for a while. It holds while `beat` increases
// (engine/shrink_follower.h).
struct AskedUsage {
  Bytes to;    // zero: nothing is asked
  Bytes pool;  // of the pools together, where pages can be written
  uint64_t beat = 0;
};

class Session {
 public:
  // The name of its memory, in /proc/PID/fd and in maps.
  static constexpr char kMemoryName[] = "uzswap-session";

  // For the runner: a memfd. Its children find it by its path.
  static Result<Session> Create(const Options& options);
  // For a process without a runner: shared with its forked children, lost at exec.
  static Result<Session> CreatePrivate(const Options& options);
  // Fails with the errno of open, or EPROTO when the memory is not of this version.
  static Result<Session> Open(const char* path);
  // The same for a descriptor of the memory, which it closes.
  static Result<Session> FromDescriptor(int descriptor);
  // For the preload library, with the `envp` of its constructor. Opens the session that
  // UZSWAP_SESSION names. If that fails, asks `join` for a descriptor of it, with the value of
  // UZSWAP_BROKER. If that fails too, creates a private session if UZSWAP_LIMIT gives a limit.
  // Otherwise the error says what is missing, and the library does nothing.
  using Join = int (*)(std::string_view broker);  // -1: it failed
  static Result<Session> FromEnvironment(const char* const* environment, Join join = nullptr);

  [[nodiscard]] Options options() const;
  // The content of the dictionary that the run starts with; empty if there is none. It may be
  // anything: another process can have damaged the memory. So copy it before you check it.
  [[nodiscard]] std::span<const std::byte> dictionary() const;
  // For the creator, before the memory is shared. Requires: at most kDictionaryBytesMax bytes.
  void SetDictionary(std::span<const std::byte> content);
  // options().limit, without a copy of the rest: for what is asked at every step of reclaim.
  [[nodiscard]] Bytes limit() const;
  // Changes the limit, the pool limit, the write limit and the codec of the tree, whose processes
  // follow within a few steps of reclaim. Requires: checked options; no pool limit if there was
  // none.
  void ChangeOptions(const Options& options);
  // Asks the tree to use at most `to`, and at most `pool` of it for pools. It has to be repeated
  // several times a second. The last caller wins. To zero: nothing is asked any more.
  void AskToShrink(Bytes to, Bytes pool);
  [[nodiscard]] AskedUsage asked_usage() const;
  // Where children find it. Requires: made by Create.
  using Path = os::TextLine<64>;
  [[nodiscard]] Path path() const;

  // Claims a record for the calling process, with statistics of zero. Nothing if all records are in
  // use: then no other process sees what this one holds.
  std::optional<ProcessRecord> Claim(std::string_view program_name);
  // Nobody has retired the record or found its process dead.
  [[nodiscard]] bool IsLive(const ProcessRecord& record) const;
  // The process ends: its usage no longer counts. Requires: `record` is the caller's.
  void Retire(const ProcessRecord& record);
  // The process runs without an engine. Requires: `record` is the caller's.
  void NoteWithoutEngine(const ProcessRecord& record);
  // The record's figures come from `engine` and its threads from now on. Requires: `record` is the
  // caller's.
  void SetEngine(const ProcessRecord& record, const os::ProcessIdentity& engine);

  // Sums over the live records. Costs two cache lines for each process.
  [[nodiscard]] Bytes TreeUsage() const;
  // What is reserved. Of a pool what the process holds, if that is more.
  [[nodiscard]] Bytes TreeReserved(SharedSpace space) const;
  // The pools, and what of them no process can give up: frames that relatives map too, and the
  // pools of processes that cannot write.
  [[nodiscard]] Bytes TreePool() const;
  [[nodiscard]] Bytes TreeKeptPool() const;
  [[nodiscard]] Bytes TreeUsagePeak() const;
  [[nodiscard]] Bytes TreePoolPeak() const;
  // Processor time that the live processes, their engines and a training process have used so far,
  // in nanoseconds. Costs a system call or two for each process. Nothing while it is not known: a
  // process has ended that still counts, one is in another PID namespace than the one of `record`,
  // or there are more than kTimedMax. When a process ends, its time is lost: the sum may decrease.
  // Programs that are not managed are not in it. Requires: `record` is the caller's.
  static constexpr uint32_t kTimedMax = 64;
  std::optional<uint64_t> TreeProcessorNs(const ProcessRecord& record);
  // Live processes now; processes since the session began; claims that found no record.
  [[nodiscard]] uint32_t LiveCount() const;
  // Live processes that have an engine or are about to have one.
  [[nodiscard]] uint32_t EngineCount() const;
  // Live processes that have ended or called exec, but whose engines have not ended yet. During an
  // exec the former and the new image count one each.
  [[nodiscard]] uint32_t EndingCount() const;
  // The process has called exec, and the engine of its former image has not ended yet: it keeps the
  // memory of that image. Requires: `record` is the caller's.
  [[nodiscard]] bool HasFormerImage(const ProcessRecord& record) const;
  [[nodiscard]] uint64_t ClaimCount() const;
  [[nodiscard]] uint64_t RefusedClaims() const;

  // Marks the records of processes that have ended; returns how many.
  uint32_t MarkDead();
  // Calls visit(RecordView) for each dead record, then folds it into exited() and frees it.
  template <typename Visitor>
  uint32_t FoldDead(Visitor&& visit);
  // Calls visit(RecordView) for each live record.
  template <typename Visitor>
  void VisitLive(Visitor&& visit) const;

  // The figures of the ended processes. Here gauges mean "at exit".
  [[nodiscard]] const Statistics& exited() const;

  // A process of the tree has seen that tasks of others want the processors too
  // (engine/contention.h). What others see of it is a hint: they may be told late.
  void NoteContended(uint64_t until_ns);
  [[nodiscard]] bool IsContended(uint64_t now_ns) const;

  // The account of bytes that the tree writes to backing stores.
  [[nodiscard]] WearAccount* wear_account() const;

  // A process of the tree runs a program that uzswap is not in. Uncount: it did not start.
  void CountUnmanaged();
  void UncountUnmanaged();
  [[nodiscard]] uint64_t UnmanagedCount() const;
  // True for the first caller with this program's name in the tree, which then reports it. A run
  // reports kUnmanagedNames names.
  bool TakeUnmanagedName(std::string_view name);
  static constexpr size_t kUnmanagedNames = 6;

  // True for the first caller in the tree, which then gives the warning.
  bool TakeWarning(Warning warning);

  // Leaves a line for the runner to print; never blocks. A run has kMessages lines in all, those
  // that found no runner included.
  [[nodiscard]] SayOutcome Say(std::string_view line);
  // For the runner: calls visit(std::string_view) for each line that was not visited yet.
  template <typename Visitor>
  void TakeMessages(Visitor&& visit);

  // For the runner, before the memory is shared: where the broker of the run listens.
  void SetBroker(const BrokerAddress& address);
  // Nothing if the run has no broker. The broker may have ended.
  [[nodiscard]] std::optional<BrokerAddress> broker() const;
  [[nodiscard]] BrokerCounters& broker_counters() const;
  // For the runner and the broker: whether other processes map the memory. This sees a forked child
  // before it claims a record, and does not see a process between exec and Open.
  [[nodiscard]] os::OtherUsers FindOtherUsers() const { return memory_.FindOtherUsers(); }
  // The descriptor behind path(). Requires: made by Create.
  [[nodiscard]] int descriptor() const { return memory_.descriptor(); }

  static constexpr uint32_t kMessages = 16;
  static constexpr uint32_t kMessageBytes = 504;

  // A record as another process sees it. The reference is valid during the visit only.
  struct RecordView {
    uint32_t index;
    os::ProcessIdentity process;  // a number in the PID namespace that it names
    os::TextLine<25> name;
    Bytes usage;
    const Statistics& statistics;
  };

 private:
  friend struct SessionTestPeer;

  explicit Session(os::SharedMemory memory) : memory_(std::move(memory)) {}
  [[nodiscard]] std::string_view MessageAt(uint32_t index) const;
  // The memory of a session of this version.
  static Result<Session> Adopt(Result<os::SharedMemory> memory);
  static Result<Session> Format(Result<os::SharedMemory> memory, const Options& options);

  [[nodiscard]] internal::SessionLayout& layout() const;
  [[nodiscard]] uint32_t RecordsUsed() const;
  [[nodiscard]] RecordView View(uint32_t index, uint64_t word) const;
  std::optional<ProcessRecord> ClaimAs(const os::ProcessIdentity& self, std::string_view name);
  [[nodiscard]] bool HasOtherImage(uint32_t index, const os::ProcessIdentity& program,
                                   uint64_t own_namespace) const;
  std::optional<uint32_t> TakeFreeRecord(uint32_t pid, uint64_t* word);
  void MarkFormerRecord(const os::ProcessIdentity& self);
  // The word of the record if it is in `state`, else nothing.
  [[nodiscard]] std::optional<uint64_t> WordIf(uint32_t index, RecordState state) const;
  // From kDead to kFolding. False if another process was faster.
  bool BeginFold(uint32_t index, uint64_t word);
  void FinishFold(uint32_t index, uint64_t word);

  os::SharedMemory memory_;
  uint32_t messages_told_ = 0;  // the runner's: how many it has visited
};

template <typename Visitor>
uint32_t Session::FoldDead(Visitor&& visit) {
  uint32_t folded = 0;
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, RecordState::kDead);
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
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    if (const std::optional<uint64_t> word = WordIf(i, RecordState::kLive)) visit(View(i, *word));
  }
}

}  // namespace uzswap

#endif  // UZSWAP_SESSION_SESSION_H_
