#include "session/session.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fold_statistics.h"
#include "session/session_layout.h"

namespace uzswap {
namespace {

using internal::GenerationOf;
using internal::MakeWord;
using internal::PidOf;
using internal::SessionLayout;
using internal::SlotEntry;
using internal::StateOf;
using internal::WithState;

constexpr Bytes kLayoutBytes{sizeof(SessionLayout)};

// A name of up to 24 characters as three words: the end is kept whole words of zeroes.
void StoreName(SlotEntry& entry, std::string_view name) {
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

os::TextLine<25> LoadName(const SlotEntry& entry) {
  os::TextLine<25> name;
  for (const std::atomic<uint64_t>& stored : entry.name) {
    for (uint64_t word = stored.load(std::memory_order_relaxed); word != 0; word >>= 8) {
      const char c = static_cast<char>(word & 0xFF);
      name.Text({&c, 1});
    }
  }
  return name;
}

uint64_t SumOfLive(const SessionLayout& layout, RelaxedCounter SlotEntry::*figure) {
  uint64_t sum = 0;
  const uint32_t used = layout.header.slots_used.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < used; ++i) {
    const SlotEntry& entry = layout.slots[i];
    if (StateOf(entry.word.load(std::memory_order_relaxed)) == SlotState::kLive) {
      sum += (entry.*figure).Get();
    }
  }
  return sum;
}

// Relaxed on failure and success: the word publishes nothing but itself here.
bool ChangeWord(SlotEntry& entry, uint64_t from, uint64_t to) {
  return entry.word.compare_exchange_strong(from, to, std::memory_order_relaxed);
}

void RaiseUsed(std::atomic<uint32_t>& used, uint32_t count) {
  uint32_t seen = used.load(std::memory_order_relaxed);
  while (seen < count && !used.compare_exchange_weak(seen, count, std::memory_order_relaxed)) {
  }
}

os::ProcessIdentity IdentityOf(const SlotEntry& entry, uint64_t word) {
  return {PidOf(word), entry.start_time.load(std::memory_order_relaxed),
          entry.pid_namespace.load(std::memory_order_relaxed)};
}

}  // namespace

Statistics& ProcessSlot::statistics() const { return layout_->statistics[index_].figures; }

Bytes ProcessSlot::Publish(Bytes usage, Bytes pool) const {
  SlotEntry& entry = layout_->slots[index_];
  entry.usage_bytes.Set(usage.raw());
  entry.pool_bytes.Set(pool.raw());
  const uint64_t tree = SumOfLive(*layout_, &SlotEntry::usage_bytes);
  layout_->header.usage_peak.RaiseTo(tree);
  layout_->header.pool_peak.RaiseTo(SumOfLive(*layout_, &SlotEntry::pool_bytes));
  return Bytes(tree);
}

SessionLayout& Session::layout() const { return *reinterpret_cast<SessionLayout*>(memory_.data()); }

Result<Session> Session::Format(Result<os::SharedMemory> memory, const Options& options) {
  if (!memory.ok()) return memory.error();
  Session session(std::move(memory).value());
  internal::SessionHeader& header = session.layout().header;
  header.magic = internal::kSessionMagic;
  header.version = internal::kSessionVersion;
  header.layout_bytes = static_cast<uint32_t>(kLayoutBytes.raw());
  header.limit_bytes = options.limit.raw();
  header.codec = static_cast<uint32_t>(options.codec);
  header.pool = static_cast<uint32_t>(options.pool);
  header.pool_limit_bytes = options.pool_limit.raw();
  header.backing_size_bytes = options.backing_size.raw();
  header.write_limit_bytes = options.write_limit.raw();
  header.write_period_s = options.write_period_s;
  header.encrypt = options.encrypt ? 1 : 0;
  memcpy(header.backing, options.backing, sizeof(header.backing));
  return session;
}

Result<Session> Session::Create(const Options& options) {
  Result<Session> session =
      Format(os::SharedMemory::Create("uzswap-session", kLayoutBytes), options);
  if (session.ok()) session.value().layout().header.has_runner = 1;
  return session;
}

Result<Session> Session::CreatePrivate(const Options& options) {
  return Format(os::SharedMemory::CreatePrivate(kLayoutBytes), options);
}

Result<Session> Session::Open(const char* path) {
  Result<os::SharedMemory> memory = os::SharedMemory::OpenPath(path, kLayoutBytes);
  if (!memory.ok()) return memory.error();
  Session session(std::move(memory).value());
  const internal::SessionHeader& header = session.layout().header;
  if (header.magic != internal::kSessionMagic || header.version != internal::kSessionVersion ||
      header.layout_bytes != kLayoutBytes.raw()) {
    return Error{EPROTO, "the session is of another version of uzswap"};
  }
  return session;
}

Result<Session> Session::FromEnvironment(const char* const* environment) {
  const std::optional<const char*> path = FindVariable(environment, kSessionVariable);
  Error error{0, "UZSWAP_SESSION and UZSWAP_LIMIT are not set"};
  if (path) {
    Result<Session> opened = Open(*path);
    if (opened.ok()) return opened;
    error = opened.error();
  }
  const EnvironmentOptions given = OptionsFromEnvironment(environment);
  if (given.bad_variable != nullptr) return Error{EINVAL, given.bad_variable};
  if (given.options.limit == Bytes(0)) return error;
  return CreatePrivate(given.options);
}

Options Session::options() const {
  const internal::SessionHeader& header = layout().header;
  Options options;
  options.limit = Bytes(header.limit_bytes);
  options.codec = static_cast<CodecKind>(header.codec);
  options.pool = static_cast<PoolKind>(header.pool);
  options.pool_limit = Bytes(header.pool_limit_bytes);
  options.backing_size = Bytes(header.backing_size_bytes);
  options.write_limit = Bytes(header.write_limit_bytes);
  options.write_period_s = header.write_period_s;
  options.encrypt = header.encrypt != 0;
  // The last byte stays zero, whatever became of the memory we share.
  memcpy(options.backing, header.backing, sizeof(options.backing) - 1);
  return options;
}

Session::Path Session::path() const {
  UZ_CHECK_GE(memory_.descriptor(), 0);
  Path path;
  path.Text("/proc/").Decimal(os::OwnIdentity().pid).Text("/fd/");
  path.Decimal(static_cast<uint64_t>(memory_.descriptor()));
  return path;
}

uint32_t Session::SlotsUsed() const {
  return layout().header.slots_used.load(std::memory_order_relaxed);
}

std::optional<uint64_t> Session::WordIf(uint32_t index, SlotState state) const {
  // Acquire pairs with the release in Claim: the claimant's identity and name are seen.
  const uint64_t word = layout().slots[index].word.load(std::memory_order_acquire);
  if (StateOf(word) != state) return std::nullopt;
  return word;
}

Session::SlotView Session::View(uint32_t index, uint64_t word) const {
  const SlotEntry& entry = layout().slots[index];
  return {index, IdentityOf(entry, word), LoadName(entry), Bytes(entry.usage_bytes.Get()),
          layout().statistics[index].figures};
}

std::optional<uint32_t> Session::TakeFreeSlot(uint32_t pid, uint64_t* word) {
  for (uint32_t i = 0; i < kSessionSlots; ++i) {
    SlotEntry& entry = layout().slots[i];
    uint64_t seen = entry.word.load(std::memory_order_relaxed);
    if (StateOf(seen) != SlotState::kFree) continue;
    *word = MakeWord((GenerationOf(seen) + 1) & 0xFFFFFF, SlotState::kClaiming, pid);
    // Acquire pairs with the release in FinishFold: the figures are seen cleared.
    if (!entry.word.compare_exchange_strong(seen, *word, std::memory_order_acquire)) continue;
    RaiseUsed(layout().header.slots_used, i + 1);
    return i;
  }
  return std::nullopt;
}

// Nobody else can have this pid while we do, so such a slot is from before an exec, or from a
// process long gone.
void Session::MarkFormerLife(const os::ProcessIdentity& self) {
  for (uint32_t i = 0; i < SlotsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, SlotState::kLive);
    if (!word || PidOf(*word) != self.pid) continue;
    SlotEntry& entry = layout().slots[i];
    if (entry.pid_namespace.load(std::memory_order_relaxed) != self.pid_namespace) continue;
    ChangeWord(entry, *word, WithState(*word, SlotState::kDead));
  }
}

std::optional<ProcessSlot> Session::Claim(std::string_view program_name) {
  return ClaimAs(os::OwnIdentity(), program_name);
}

std::optional<ProcessSlot> Session::ClaimAs(const os::ProcessIdentity& self,
                                            std::string_view name) {
  MarkFormerLife(self);
  uint64_t word = 0;
  std::optional<uint32_t> index = TakeFreeSlot(self.pid, &word);
  if (!index) {
    MarkDead();
    FoldDead([](const SlotView&) {});
    index = TakeFreeSlot(self.pid, &word);
  }
  if (!index) {
    layout().header.refused_claims.Add();
    return std::nullopt;
  }
  SlotEntry& entry = layout().slots[*index];
  entry.start_time.store(self.start_time, std::memory_order_relaxed);
  entry.pid_namespace.store(self.pid_namespace, std::memory_order_relaxed);
  StoreName(entry, name);
  word = WithState(word, SlotState::kLive);
  // Release: whoever sees the slot live sees whose it is.
  entry.word.store(word, std::memory_order_release);
  layout().header.claims.Add();
  return ProcessSlot(&layout(), *index, word);
}

void Session::Retire(const ProcessSlot& slot) {
  SlotEntry& entry = layout().slots[slot.index_];
  uint64_t expected = slot.word_;
  // Release pairs with the acquire in WordIf: who folds sees the owner's last figures. Failure
  // means that somebody marked it dead already, which is as good.
  entry.word.compare_exchange_strong(expected, WithState(slot.word_, SlotState::kDead),
                                     std::memory_order_release, std::memory_order_relaxed);
}

Bytes Session::TreeUsage() const { return Bytes(SumOfLive(layout(), &SlotEntry::usage_bytes)); }
Bytes Session::TreePool() const { return Bytes(SumOfLive(layout(), &SlotEntry::pool_bytes)); }
Bytes Session::TreeUsagePeak() const { return Bytes(layout().header.usage_peak.Get()); }
Bytes Session::TreePoolPeak() const { return Bytes(layout().header.pool_peak.Get()); }
uint64_t Session::ClaimCount() const { return layout().header.claims.Get(); }
uint64_t Session::RefusedClaims() const { return layout().header.refused_claims.Get(); }
const Statistics& Session::exited() const { return layout().header.exited; }

uint32_t Session::LiveCount() const {
  uint32_t count = 0;
  for (uint32_t i = 0; i < SlotsUsed(); ++i) {
    if (WordIf(i, SlotState::kLive)) ++count;
  }
  return count;
}

uint32_t Session::MarkDead() {
  const uint64_t own_namespace = os::OwnIdentity().pid_namespace;
  uint32_t marked = 0;
  for (uint32_t i = 0; i < SlotsUsed(); ++i) {
    const std::optional<uint64_t> word = WordIf(i, SlotState::kLive);
    SlotEntry& entry = layout().slots[i];
    if (!word || os::Probe(IdentityOf(entry, *word), own_namespace) != os::Liveness::kDead) {
      continue;
    }
    if (ChangeWord(entry, *word, WithState(*word, SlotState::kDead))) ++marked;
  }
  return marked;
}

bool Session::BeginFold(uint32_t index, uint64_t word) {
  return ChangeWord(layout().slots[index], word, WithState(word, SlotState::kFolding));
}

void Session::FinishFold(uint32_t index, uint64_t word) {
  SlotEntry& entry = layout().slots[index];
  Statistics& figures = layout().statistics[index].figures;
  FoldStatistics(figures, layout().header.exited);
  ClearStatistics(figures);
  entry.usage_bytes.Set(0);
  entry.pool_bytes.Set(0);
  // Release pairs with the acquire in TakeFreeSlot.
  entry.word.store(MakeWord(GenerationOf(word), SlotState::kFree, 0), std::memory_order_release);
}

bool Session::Say(std::string_view line) {
  internal::SessionHeader& header = layout().header;
  if (header.has_runner == 0) return false;
  for (internal::SessionMessage& message : header.messages) {
    // Relaxed: it only picks one of the callers; the text is published by its length.
    if (message.taken.exchange(1, std::memory_order_relaxed) != 0) continue;
    const size_t length = std::min<size_t>(line.size(), kMessageBytes);
    memcpy(message.text, line.data(), length);
    message.length.store(static_cast<uint32_t>(length), std::memory_order_release);
    return true;
  }
  return false;
}

std::string_view Session::MessageAt(uint32_t index) const {
  const internal::SessionMessage& message = layout().header.messages[index];
  return {message.text, message.length.load(std::memory_order_acquire)};
}

WearAccount* Session::wear_account() const { return &layout().header.wear; }

Bytes Session::TreeBacking() const {
  uint64_t sum = 0;
  VisitLive([&sum](const SlotView& slot) { sum += slot.statistics.backing_file_bytes.Get(); });
  return Bytes(sum);
}

bool Session::TakeWarning(Warning warning) {
  const uint32_t bit = uint32_t{1} << static_cast<uint32_t>(warning);
  // Relaxed: the flag orders nothing, it only picks one of the callers.
  return (layout().header.warnings_given.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

}  // namespace uzswap
