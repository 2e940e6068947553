// The table of process records in a session: claiming, adding up, marking dead, folding.
#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/fold_statistics.h"
#include "session/session.h"
#include "session/session_layout.h"

namespace uzswap {
namespace {

using internal::GenerationOf;
using internal::MakeWord;
using internal::PidOf;
using internal::RecordEntry;
using internal::SessionLayout;
using internal::StateOf;
using internal::WithState;

// Stores up to 24 characters in three words of 64 bits, padded with zeroes.
void StoreName(RecordEntry& entry, std::string_view name) {
  for (int i = 0; i < internal::kNameWords; ++i) {
    uint64_t word = 0;
    for (int byte = 0; byte < 8; ++byte) {
      const size_t position = static_cast<size_t>(i) * 8 + static_cast<size_t>(byte);
      if (position >= name.size()) break;
      word |= uint64_t{static_cast<unsigned char>(name[position])} << (8 * byte);
    }
    entry.name[i].store(word, std::memory_order_relaxed);
  }
}

os::TextLine<25> LoadName(const RecordEntry& entry) {
  os::TextLine<25> name;
  for (const std::atomic<uint64_t>& stored : entry.name) {
    for (uint64_t word = stored.load(std::memory_order_relaxed); word != 0; word >>= 8) {
      const char c = static_cast<char>(word & 0xFF);
      name.Text({&c, 1});
    }
  }
  return name;
}

uint64_t SumOfLive(const SessionLayout& layout, RelaxedCounter RecordEntry::*figure) {
  uint64_t sum = 0;
  // The memory may be another program's, with any content.
  const uint32_t used = layout.header.records_used.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < std::min(used, kProcessRecords); ++i) {
    const RecordEntry& entry = layout.records[i];
    if (StateOf(entry.word.load(std::memory_order_relaxed)) == RecordState::kLive) {
      sum += (entry.*figure).Get();
    }
  }
  return sum;
}

// A pool can be larger than what is reserved: in a forked child, or for a moment. A file cannot,
// and what a device occupies does not tell what is used of it.
uint64_t HeldBy(const RecordEntry& entry, SharedSpace space) {
  return space == SharedSpace::kPool ? entry.pool_bytes.Get() : 0;
}

uint64_t SumReserved(const SessionLayout& layout, SharedSpace space) {
  uint64_t sum = 0;
  // Sequentially consistent, as RaiseUsed: a process that reserved earlier is seen.
  const uint32_t used = layout.header.records_used.load(std::memory_order_seq_cst);
  for (uint32_t i = 0; i < std::min(used, kProcessRecords); ++i) {
    const RecordEntry& entry = layout.records[i];
    // Before the word: who sees the reservation sees the record live.
    const uint64_t reserved =
        entry.reserved[static_cast<size_t>(space)].load(std::memory_order_seq_cst);
    if (StateOf(entry.word.load(std::memory_order_relaxed)) != RecordState::kLive) continue;
    sum += std::max(reserved, HeldBy(entry, space));
  }
  return sum;
}

// Relaxed on failure and success: nothing else is published here.
bool ChangeWord(RecordEntry& entry, uint64_t from, uint64_t to) {
  return entry.word.compare_exchange_strong(from, to, std::memory_order_relaxed);
}

void RaiseUsed(std::atomic<uint32_t>& used, uint32_t count) {
  // Sequentially consistent: see SumReserved.
  uint32_t seen = used.load(std::memory_order_seq_cst);
  while (seen < count && !used.compare_exchange_weak(seen, count, std::memory_order_seq_cst)) {
  }
}

os::ProcessIdentity IdentityOf(const RecordEntry& entry, uint64_t word) {
  return {PidOf(word), entry.start_time.load(std::memory_order_relaxed),
          entry.pid_namespace.load(std::memory_order_relaxed)};
}

// Nothing if the engine is in the program.
std::optional<os::ProcessIdentity> EngineOf(const RecordEntry& entry) {
  // Acquire pairs with the release in SetEngine: the start time is seen.
  const auto pid = static_cast<uint32_t>(entry.engine_pid.load(std::memory_order_acquire));
  if (pid == 0) return std::nullopt;
  return os::ProcessIdentity{pid, entry.engine_start_time.load(std::memory_order_relaxed),
                             entry.pid_namespace.load(std::memory_order_relaxed)};
}

// Adds up the processor times of processes, each once: after exec a process can have two records.
class ProcessorTimes {
 public:
  // False if there is no such process.
  bool TryAdd(uint32_t pid) {
    uint32_t* const end = pids_ + count_;
    if (std::find(pids_, end, pid) != end) return true;
    const std::optional<uint64_t> used_ns = os::ProcessorNsOf(pid);
    if (!used_ns) return false;
    UZ_CHECK_LT(count_, std::size(pids_));
    pids_[count_++] = pid;
    sum_ns_ += *used_ns;
    return true;
  }
  [[nodiscard]] uint64_t sum_ns() const { return sum_ns_; }

 private:
  uint32_t pids_[2 * Session::kTimedMax + 1] = {};
  size_t count_ = 0;
  uint64_t sum_ns_ = 0;
};

}  // namespace

Statistics& ProcessRecord::statistics() const { return layout_->statistics[index_].figures; }

Bytes ProcessRecord::Publish(Bytes usage, Bytes pool, Bytes kept) const {
  RecordEntry& entry = layout_->records[index_];
  entry.usage_bytes.Set(usage.raw());
  entry.pool_bytes.Set(pool.raw());
  entry.kept_pool_bytes.Set(kept.raw());
  const uint64_t tree = SumOfLive(*layout_, &RecordEntry::usage_bytes);
  layout_->header.usage_peak.RaiseTo(tree);
  layout_->header.pool_peak.RaiseTo(SumOfLive(*layout_, &RecordEntry::pool_bytes));
  return Bytes(tree);
}

bool ProcessRecord::Reserve(SharedSpace space, Bytes more, Bytes bound) const {
  std::atomic<uint64_t>& reserved = layout_->records[index_].reserved[static_cast<size_t>(space)];
  // Sequentially consistent, as the loads of the sum: of two processes that reserve at once, the
  // later one sees both.
  reserved.fetch_add(more.raw(), std::memory_order_seq_cst);
  if (SumReserved(*layout_, space) <= bound.raw()) return true;
  reserved.fetch_sub(more.raw(), std::memory_order_seq_cst);
  return false;
}

void ProcessRecord::Return(SharedSpace space, Bytes less) const {
  layout_->records[index_].reserved[static_cast<size_t>(space)].fetch_sub(
      less.raw(), std::memory_order_seq_cst);
}

uint32_t Session::RecordsUsed() const {
  // Another process can have damaged it.
  return std::min(layout().header.records_used.load(std::memory_order_relaxed), kProcessRecords);
}

std::optional<uint64_t> Session::WordIf(uint32_t index, RecordState state) const {
  // Acquire pairs with the release in Claim: whose record it is, and its name, are seen.
  const uint64_t word = layout().records[index].word.load(std::memory_order_acquire);
  if (StateOf(word) != state) return std::nullopt;
  return word;
}

Session::RecordView Session::View(uint32_t index, uint64_t word) const {
  const RecordEntry& entry = layout().records[index];
  return {index, IdentityOf(entry, word), LoadName(entry), Bytes(entry.usage_bytes.Get()),
          layout().statistics[index].figures};
}

std::optional<uint32_t> Session::TakeFreeRecord(uint32_t pid, uint64_t* word) {
  for (uint32_t i = 0; i < kProcessRecords; ++i) {
    RecordEntry& entry = layout().records[i];
    uint64_t seen = entry.word.load(std::memory_order_relaxed);
    if (StateOf(seen) != RecordState::kFree) continue;
    *word = MakeWord((GenerationOf(seen) + 1) & 0xFFFFFF, RecordState::kClaiming, pid);
    // Acquire pairs with the release in FinishFold: the cleared figures are seen.
    if (!entry.word.compare_exchange_strong(seen, *word, std::memory_order_acquire)) continue;
    RaiseUsed(layout().header.records_used, i + 1);
    return i;
  }
  return std::nullopt;
}

// No other process has this pid now, so a live record with it is left from before an exec, or from
// a process that has ended.
void Session::MarkFormerRecord(const os::ProcessIdentity& self) {
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, RecordState::kLive);
    if (!word || PidOf(*word) != self.pid) continue;
    RecordEntry& entry = layout().records[i];
    if (entry.pid_namespace.load(std::memory_order_relaxed) != self.pid_namespace) continue;
    const std::optional<os::ProcessIdentity> engine = EngineOf(entry);
    if (engine && os::Probe(*engine, self.pid_namespace) == os::Liveness::kAlive) continue;
    ChangeWord(entry, *word, WithState(*word, RecordState::kDead));
  }
}

std::optional<ProcessRecord> Session::Claim(std::string_view program_name) {
  return ClaimAs(os::OwnIdentity(), program_name);
}

std::optional<ProcessRecord> Session::ClaimAs(const os::ProcessIdentity& self,
                                              std::string_view name) {
  MarkFormerRecord(self);
  uint64_t word = 0;
  std::optional<uint32_t> index = TakeFreeRecord(self.pid, &word);
  if (!index) {
    MarkDead();
    FoldDead([](const RecordView&) {});
    index = TakeFreeRecord(self.pid, &word);
  }
  if (!index) {
    layout().header.refused_claims.Add();
    return std::nullopt;
  }
  RecordEntry& entry = layout().records[*index];
  entry.start_time.store(self.start_time, std::memory_order_relaxed);
  entry.pid_namespace.store(self.pid_namespace, std::memory_order_relaxed);
  entry.engine_pid.store(0, std::memory_order_relaxed);
  entry.without_engine.store(0, std::memory_order_relaxed);
  StoreName(entry, name);
  word = WithState(word, RecordState::kLive);
  // Release: a process that sees the record live also sees whose it is.
  entry.word.store(word, std::memory_order_release);
  layout().header.claims.Add();
  return ProcessRecord(&layout(), *index, word);
}

bool Session::IsLive(const ProcessRecord& record) const {
  return WordIf(record.index_, RecordState::kLive) == record.word_;
}

void Session::Retire(const ProcessRecord& record) {
  RecordEntry& entry = layout().records[record.index_];
  uint64_t expected = record.word_;
  // Release pairs with the acquire in WordIf: the process that folds the record sees its last
  // figures. Failure means that another process has marked it dead already.
  entry.word.compare_exchange_strong(expected, WithState(record.word_, RecordState::kDead),
                                     std::memory_order_release, std::memory_order_relaxed);
}

void Session::SetEngine(const ProcessRecord& record, const os::ProcessIdentity& engine) {
  RecordEntry& entry = layout().records[record.index_];
  entry.engine_start_time.store(engine.start_time, std::memory_order_relaxed);
  // Release pairs with the acquire in EngineOf.
  entry.engine_pid.store(engine.pid, std::memory_order_release);
}

Bytes Session::TreeUsage() const { return Bytes(SumOfLive(layout(), &RecordEntry::usage_bytes)); }
Bytes Session::TreeReserved(SharedSpace space) const { return Bytes(SumReserved(layout(), space)); }
Bytes Session::TreePool() const { return Bytes(SumOfLive(layout(), &RecordEntry::pool_bytes)); }
Bytes Session::TreeKeptPool() const {
  return Bytes(SumOfLive(layout(), &RecordEntry::kept_pool_bytes));
}
Bytes Session::TreeUsagePeak() const { return Bytes(layout().header.usage_peak.Get()); }
Bytes Session::TreePoolPeak() const { return Bytes(layout().header.pool_peak.Get()); }
uint64_t Session::ClaimCount() const { return layout().header.claims.Get(); }
uint64_t Session::RefusedClaims() const { return layout().header.refused_claims.Get(); }
const Statistics& Session::exited() const { return layout().header.exited; }

uint32_t Session::LiveCount() const {
  uint32_t count = 0;
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    if (WordIf(i, RecordState::kLive)) ++count;
  }
  return count;
}

void Session::NoteWithoutEngine(const ProcessRecord& record) {
  layout().records[record.index_].without_engine.store(1, std::memory_order_relaxed);
}

uint32_t Session::EngineCount() const {
  uint32_t count = 0;
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    // The word first: it is stored last.
    if (!WordIf(i, RecordState::kLive)) continue;
    if (layout().records[i].without_engine.load(std::memory_order_relaxed) == 0) ++count;
  }
  return count;
}

std::optional<uint64_t> Session::TreeProcessorNs(const ProcessRecord& record) {
  const RecordEntry& own = layout().records[record.index_];
  const uint64_t own_namespace = own.pid_namespace.load(std::memory_order_relaxed);
  const BrokerCounters& broker = layout().header.broker_counters;
  ProcessorTimes times;
  // It may end at any time, which tells nothing of the tree.
  const auto trainer = static_cast<uint32_t>(broker.training_process.Get());
  if (trainer != 0 && broker.training_namespace.Get() == own_namespace) times.TryAdd(trainer);
  uint32_t live = 0;
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, RecordState::kLive);
    const RecordEntry& entry = layout().records[i];
    if (!word) continue;
    const bool elsewhere = entry.pid_namespace.load(std::memory_order_relaxed) != own_namespace;
    if (elsewhere || ++live > kTimedMax) return std::nullopt;
    const std::optional<os::ProcessIdentity> engine = EngineOf(entry);
    if (times.TryAdd(PidOf(*word)) && (!engine || times.TryAdd(engine->pid))) continue;
    MarkDead();  // it is known the next time
    return std::nullopt;
  }
  return times.sum_ns();
}

// After exec a process has two records until the engine of the former image has ended.
bool Session::HasOtherImage(uint32_t index, const os::ProcessIdentity& program,
                            uint64_t own_namespace) const {
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, RecordState::kLive);
    const RecordEntry& entry = layout().records[i];
    if (i == index || !word || IdentityOf(entry, *word) != program) continue;
    const os::ProcessIdentity counted = EngineOf(entry).value_or(program);
    if (os::Probe(counted, own_namespace) == os::Liveness::kAlive) return true;
  }
  return false;
}

bool Session::HasFormerImage(const ProcessRecord& record) const {
  const os::ProcessIdentity self = IdentityOf(layout().records[record.index_], record.word_);
  return HasOtherImage(record.index_, self, self.pid_namespace);
}

uint32_t Session::EndingCount() const {
  const uint64_t own_namespace = os::OwnIdentity().pid_namespace;
  uint32_t count = 0;
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, RecordState::kLive);
    const RecordEntry& entry = layout().records[i];
    if (!word) continue;
    const std::optional<os::ProcessIdentity> engine = EngineOf(entry);
    if (!engine || os::Probe(*engine, own_namespace) != os::Liveness::kAlive) continue;
    const os::ProcessIdentity program = IdentityOf(entry, *word);
    const bool ended = os::Probe(program, own_namespace) == os::Liveness::kDead;
    if (ended || HasOtherImage(i, program, own_namespace)) ++count;
  }
  return count;
}

uint32_t Session::MarkDead() {
  const uint64_t own_namespace = os::OwnIdentity().pid_namespace;
  uint32_t marked = 0;
  for (uint32_t i = 0; i < RecordsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, RecordState::kLive);
    RecordEntry& entry = layout().records[i];
    if (!word) continue;
    const os::ProcessIdentity counted = EngineOf(entry).value_or(IdentityOf(entry, *word));
    if (os::Probe(counted, own_namespace) != os::Liveness::kDead) continue;
    if (ChangeWord(entry, *word, WithState(*word, RecordState::kDead))) ++marked;
  }
  return marked;
}

bool Session::BeginFold(uint32_t index, uint64_t word) {
  return ChangeWord(layout().records[index], word, WithState(word, RecordState::kFolding));
}

void Session::FinishFold(uint32_t index, uint64_t word) {
  RecordEntry& entry = layout().records[index];
  Statistics& figures = layout().statistics[index].figures;
  FoldStatistics(figures, layout().header.exited);
  ClearStatistics(figures);
  entry.usage_bytes.Set(0);
  entry.pool_bytes.Set(0);
  entry.kept_pool_bytes.Set(0);
  for (std::atomic<uint64_t>& reserved : entry.reserved) {
    reserved.store(0, std::memory_order_relaxed);
  }
  // Release pairs with the acquire in TakeFreeRecord.
  entry.word.store(MakeWord(GenerationOf(word), RecordState::kFree, 0), std::memory_order_release);
}

}  // namespace uzswap
