#include "session/session.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "session/broker_variable.h"
#include "session/session_layout.h"

namespace uzswap {
namespace {

using internal::SessionLayout;

constexpr Bytes kLayoutBytes{sizeof(SessionLayout)};

}  // namespace

SessionLayout& Session::layout() const { return *reinterpret_cast<SessionLayout*>(memory_.data()); }

Result<Session> Session::Format(Result<os::SharedMemory> memory, const Options& options) {
  if (!memory.ok()) return memory.error();
  Session session(std::move(memory).value());
  internal::SessionHeader& header = session.layout().header;
  header.magic = internal::kSessionMagic;
  header.version = internal::kSessionVersion;
  header.layout_bytes = static_cast<uint32_t>(kLayoutBytes.raw());
  session.ChangeOptions(options);
  header.pool = static_cast<uint32_t>(options.pool);
  header.backing_size_bytes = options.backing_size.raw();
  header.encrypt = options.encrypt ? 1 : 0;
  header.engine_home = static_cast<uint32_t>(options.engine);
  header.dictionary_mode = static_cast<uint32_t>(options.dictionary);
  memcpy(header.backing, options.backing, sizeof(header.backing));
  return session;
}

Result<Session> Session::Create(const Options& options) {
  Result<Session> session = Format(os::SharedMemory::Create(kMemoryName, kLayoutBytes), options);
  if (session.ok()) session.value().layout().header.has_runner = 1;
  return session;
}

Result<Session> Session::CreatePrivate(const Options& options) {
  return Format(os::SharedMemory::CreatePrivate(kLayoutBytes), options);
}

Result<Session> Session::Open(const char* path) {
  return Adopt(os::SharedMemory::OpenPath(path, kLayoutBytes));
}

Result<Session> Session::FromDescriptor(int descriptor) {
  return Adopt(os::SharedMemory::FromDescriptor(descriptor, kLayoutBytes));
}

Result<Session> Session::Adopt(Result<os::SharedMemory> memory) {
  if (!memory.ok()) return memory.error();
  Session session(std::move(memory).value());
  const internal::SessionHeader& header = session.layout().header;
  if (header.magic != internal::kSessionMagic || header.version != internal::kSessionVersion ||
      header.layout_bytes != kLayoutBytes.raw()) {
    return Error{EPROTO, "the session belongs to another version of uzswap"};
  }
  return session;
}

Result<Session> Session::FromEnvironment(const char* const* environment, Join join) {
  const std::optional<const char*> path = FindVariable(environment, kSessionVariable);
  Error error{0, "UZSWAP_SESSION and UZSWAP_LIMIT are not set"};
  if (path) {
    Result<Session> opened = Open(*path);
    if (opened.ok()) return opened;
    error = opened.error();
    const std::optional<const char*> broker = FindVariable(environment, kBrokerVariable);
    const bool refused = error.errno_value == EACCES || error.errno_value == ENOENT;
    const int joined = refused && broker && join != nullptr ? join(*broker) : -1;
    if (joined >= 0) {
      opened = FromDescriptor(joined);
      if (opened.ok()) return opened;
    }
  }
  const EnvironmentOptions given = OptionsFromEnvironment(environment);
  if (given.bad_variable != nullptr) return Error{EINVAL, given.bad_variable};
  if (given.options.limit == Bytes(0)) return error;
  return CreatePrivate(given.options);
}

Options Session::options() const {
  const internal::SessionHeader& header = layout().header;
  Options options;
  options.limit = limit();
  options.codec = static_cast<CodecMode>(header.codec.load(std::memory_order_relaxed));
  options.pool = static_cast<PoolKind>(header.pool);
  // The two can change between the loads.
  options.pool_limit =
      std::min(Bytes(header.pool_limit_bytes.load(std::memory_order_relaxed)), options.limit);
  options.backing_size = Bytes(header.backing_size_bytes);
  options.write_limit = Bytes(header.write_limit_bytes.load(std::memory_order_relaxed));
  options.write_period_s = header.write_period_s.load(std::memory_order_relaxed);
  options.encrypt = header.encrypt != 0;
  options.engine = static_cast<EngineHome>(header.engine_home);
  options.dictionary = static_cast<DictionaryMode>(header.dictionary_mode);
  // The last byte stays zero even if another process has damaged the shared memory.
  memcpy(options.backing, header.backing, sizeof(options.backing) - 1);
  return options;
}

std::span<const std::byte> Session::dictionary() const {
  const size_t bytes = layout().header.dictionary_bytes;
  return {layout().dictionary, std::min(bytes, kDictionaryBytesMax)};
}

void Session::SetDictionary(std::span<const std::byte> content) {
  UZ_CHECK_LE(content.size(), kDictionaryBytesMax);
  // Without content data() may be a null pointer.
  if (!content.empty()) memcpy(layout().dictionary, content.data(), content.size());
  layout().header.dictionary_bytes = static_cast<uint32_t>(content.size());
}

Bytes Session::limit() const {
  return Bytes(layout().header.limit_bytes.load(std::memory_order_relaxed));
}

void Session::ChangeOptions(const Options& options) {
  internal::SessionHeader& header = layout().header;
  const auto relaxed = std::memory_order_relaxed;
  header.codec.store(static_cast<uint32_t>(options.codec), relaxed);
  header.write_period_s.store(options.write_period_s, relaxed);
  header.write_limit_bytes.store(options.write_limit.raw(), relaxed);
  header.pool_limit_bytes.store(options.pool_limit.raw(), relaxed);
  header.limit_bytes.store(options.limit.raw(), relaxed);
}

void Session::AskToShrink(Bytes to, Bytes pool) {
  internal::SessionHeader& header = layout().header;
  header.shrink_to_bytes.store(to.raw(), std::memory_order_relaxed);
  header.shrink_pool_bytes.store(pool.raw(), std::memory_order_relaxed);
  // Release: who sees the beat sees what is asked. Added, because another caller may do the same.
  header.shrink_beat.fetch_add(1, std::memory_order_release);
}

AskedUsage Session::asked_usage() const {
  const internal::SessionHeader& header = layout().header;
  // Acquire pairs with the release in AskToShrink.
  const uint64_t beat = header.shrink_beat.load(std::memory_order_acquire);
  return {Bytes(header.shrink_to_bytes.load(std::memory_order_relaxed)),
          Bytes(header.shrink_pool_bytes.load(std::memory_order_relaxed)), beat};
}

Session::Path Session::path() const {
  UZ_CHECK_GE(memory_.descriptor(), 0);
  Path path;
  path.Text("/proc/").Decimal(os::OwnIdentity().pid).Text("/fd/");
  path.Decimal(static_cast<uint64_t>(memory_.descriptor()));
  return path;
}

SayOutcome Session::Say(std::string_view line) {
  internal::SessionHeader& header = layout().header;
  for (internal::SessionMessage& message : header.messages) {
    // Relaxed: the flag only picks one of the callers. Storing the length publishes the text.
    if (message.taken.exchange(1, std::memory_order_relaxed) != 0) continue;
    if (header.has_runner == 0) return SayOutcome::kNoRunner;
    const size_t length = std::min<size_t>(line.size(), kMessageBytes);
    memcpy(message.text, line.data(), length);
    message.length.store(static_cast<uint32_t>(length), std::memory_order_release);
    return SayOutcome::kQueued;
  }
  return SayOutcome::kFull;
}

std::string_view Session::MessageAt(uint32_t index) const {
  const internal::SessionMessage& message = layout().header.messages[index];
  // Any process of the tree can write here: the length is not trusted.
  const uint32_t length = message.length.load(std::memory_order_acquire);
  return {message.text, std::min<size_t>(length, kMessageBytes)};
}

void Session::SetBroker(const BrokerAddress& address) {
  layout().header.broker = address;
  layout().header.has_broker = 1;
}

std::optional<BrokerAddress> Session::broker() const {
  const internal::SessionHeader& header = layout().header;
  if (header.has_broker == 0) return std::nullopt;
  return header.broker;
}

BrokerCounters& Session::broker_counters() const { return layout().header.broker_counters; }

WearAccount* Session::wear_account() const { return &layout().header.wear; }

void Session::NoteContended(uint64_t until_ns) {
  layout().header.contended_until_ns.store(until_ns, std::memory_order_relaxed);
}
bool Session::IsContended(uint64_t now_ns) const {
  return now_ns < layout().header.contended_until_ns.load(std::memory_order_relaxed);
}

void Session::CountUnmanaged() { layout().header.unmanaged.Add(); }
void Session::UncountUnmanaged() { layout().header.unmanaged.Sub(); }
uint64_t Session::UnmanagedCount() const { return layout().header.unmanaged.Get(); }

bool Session::TakeUnmanagedName(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  hash |= 1;  // zero is a free entry
  for (std::atomic<uint64_t>& taken : layout().header.unmanaged_names) {
    uint64_t seen = 0;
    // Relaxed: the entry publishes nothing; it only picks one of the callers.
    if (taken.compare_exchange_strong(seen, hash, std::memory_order_relaxed)) return true;
    if (seen == hash) return false;
  }
  return false;
}

bool Session::TakeWarning(Warning warning) {
  const uint32_t bit = uint32_t{1} << static_cast<uint32_t>(warning);
  // Relaxed: the flag publishes nothing; it only picks one of the callers.
  return (layout().header.warnings_given.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

}  // namespace uzswap
