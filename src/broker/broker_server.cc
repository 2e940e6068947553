#include "broker/broker_server.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "os/random.h"

namespace uzswap {
namespace {

// Connections that wait while the server is busy. The kernel limits it to net.core.somaxconn.
constexpr int kBacklog = 1024;
constexpr uint64_t kWaitMaxMs = 60'000;
constexpr uint64_t kDyingMs = 10;  // between looks at programs that were killed

uint64_t Left(uint64_t now, uint64_t end) { return end > now ? end - now : 0; }

}  // namespace

Result<BrokerAddress> BrokerServer::MakeAddress() {
  BrokerAddress address;
  const Result<void> filled = os::FillRandom(std::as_writable_bytes(std::span(&address, 1)));
  if (!filled.ok()) return filled.error();
  return address;
}

Result<int> BrokerServer::Listen(const BrokerAddress& address) {
  return os::ListenAbstract(NameOf(address).view(), kBacklog);
}

BrokerServer::BrokerServer(int listener, const BrokerAddress& address, os::BrokerPort& port,
                           BrokerCounters& counters)
    : listener_(listener), port_(port), counters_(counters), handler_(port, address, counters) {}

BrokerServer::~BrokerServer() {
  while (!clients_.empty()) Drop(clients_.size() - 1);
  for (Client& client : guarded_) Close(client);
  for (Guard& guard : dying_) guard.Close(port_);
  os::CloseDescriptor(listener_);
}

void BrokerServer::Close(Client& client) {
  os::CloseDescriptor(client.socket);
  os::CloseDescriptor(client.peer.pidfd);
  client.guard.Close(port_);
}

void BrokerServer::LoseEngine(Client& client) {
  Guard& guard = client.guard;
  if (guard.complete() && !port_.HasEnded(guard.program) && port_.MemoryInUse(guard.memory)) {
    port_.Kill(guard.program);
    counters_.killed_programs.Add();
    dying_.push_back(std::exchange(guard, Guard{}));
  }
  Close(client);
}

void BrokerServer::ForgetEnded() {
  std::erase_if(dying_, [this](Guard& guard) {
    if (!port_.HasEnded(guard.program)) return false;
    guard.Close(port_);
    return true;
  });
}

void BrokerServer::MoveGuarded() {
  size_t guarded = guarded_.size();
  for (Client& client : clients_) {
    if (!client.guard.complete() || ++guarded <= kGuardedMax) continue;
    client.guard.Close(port_);
    counters_.refused_guards.Add();
  }
  const auto ordinary = std::stable_partition(
      clients_.begin(), clients_.end(), [](const Client& one) { return !one.guard.complete(); });
  guarded_.insert(guarded_.end(), ordinary, clients_.end());
  clients_.erase(ordinary, clients_.end());
}

void BrokerServer::ServeGuarded(const std::vector<os::WaitEntry>& waits, size_t first) {
  for (size_t i = waits.size() - first; i-- > 0;) {
    if (!waits[first + i].ready || ServeOne(guarded_[i])) continue;
    LoseEngine(guarded_[i]);
    guarded_.erase(guarded_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void BrokerServer::Drop(size_t index) {
  Close(clients_[index]);
  clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(index));
}

bool BrokerServer::MayAccept(uint64_t now) const {
  if (now < accept_after_ms_) return false;
  return clients_.size() < kClientsMax || now - clients_.front().since_ms >= kDisplaceMs;
}

uint32_t BrokerServer::WaitMs(uint64_t now, uint64_t wait_ms) {
  if (!dying_.empty()) wait_ms = std::min(wait_ms, kDyingMs);
  wait_ms = std::min({wait_ms, kWaitMaxMs, Left(now, handler_.offers().next_expiry_ms())});
  if (!clients_.empty()) {
    wait_ms = std::min(wait_ms, Left(now, clients_.front().since_ms + kIdleMs));
  }
  if (clients_.size() == kClientsMax) {
    const uint64_t displace = clients_.front().since_ms + kDisplaceMs;
    if (displace > now) wait_ms = std::min(wait_ms, displace - now);
  }
  if (training_ != nullptr) wait_ms = std::min(wait_ms, Left(now, training_->due_ms()));
  if (accept_after_ms_ > now) wait_ms = std::min(wait_ms, accept_after_ms_ - now);
  return static_cast<uint32_t>(wait_ms);
}

void BrokerServer::DropIdle(uint64_t now) {
  while (!clients_.empty() && now - clients_.front().since_ms >= kIdleMs) {
    Drop(0);
    counters_.idle_clients.Add();
  }
}

void BrokerServer::AcceptOne(uint64_t now) {
  const Result<int> accepted = os::AcceptPacketSocket(listener_);
  if (!accepted.ok()) {
    const int failure = accepted.error().errno_value;
    if (failure == EAGAIN || failure == ECONNABORTED || failure == EINTR) return;
    counters_.failed_accepts.Add();
    accept_after_ms_ = now + kAcceptPauseMs;
    return;
  }
  const Result<os::PacketPeer> peer = os::PeerOf(accepted.value());
  if (!peer.ok() || peer.value().pid == 0) {
    counters_.unknown_peers.Add();
    if (peer.ok()) os::CloseDescriptor(peer.value().pidfd);
    os::CloseDescriptor(accepted.value());
    return;
  }
  if (clients_.size() == kClientsMax) {
    Drop(0);
    counters_.displaced_clients.Add();
  }
  clients_.push_back({accepted.value(), peer.value(), now, {}});
  counters_.connections.Add();
}

bool BrokerServer::ServeOne(Client& client) {
  std::byte message[sizeof(BrokerRequest)];
  const os::Packet packet = os::ReceivePacket(client.socket, message);
  switch (packet.outcome) {
    case os::PacketOutcome::kNotYet:
      return true;
    case os::PacketOutcome::kClosed:
      return false;
    case os::PacketOutcome::kMalformed:
      counters_.malformed_requests.Add();
      return false;
    case os::PacketOutcome::kReceived:
      break;
  }
  const RequestHandler::Answer answer =
      handler_.Handle({message, packet.bytes}, client.peer, packet.descriptor, &client.guard);
  if (answer.verdict == RequestHandler::Verdict::kDrop) return false;
  const Result<void> sent =
      os::SendPacket(client.socket, std::as_bytes(std::span(&answer.reply, 1)), answer.descriptor);
  if (answer.descriptor >= 0) port_.Close(answer.descriptor);
  if (!sent.ok()) {
    counters_.unsent_replies.Add();
    return false;
  }
  client.since_ms = port_.NowMs();
  return true;
}

bool BrokerServer::Step(int wake, uint64_t wait_ms) {
  const uint64_t before = port_.NowMs();
  std::vector<os::WaitEntry> waits;
  waits.reserve(clients_.size() + guarded_.size() + 3);
  for (const Client& client : clients_) waits.push_back({client.socket});
  waits.push_back({MayAccept(before) ? listener_ : -1});
  waits.push_back({wake});
  waits.push_back({training_ != nullptr ? training_->descriptor() : -1});
  for (const Client& client : guarded_) waits.push_back({client.socket});
  os::WaitReadable(waits, WaitMs(before, wait_ms));

  // From the last to the first, so that a client that is dropped moves only those already served.
  const size_t count = clients_.size();
  ServeGuarded(waits, count + 3);
  for (size_t i = count; i-- > 0;) {
    if (waits[i].ready && !ServeOne(clients_[i])) Drop(i);
  }
  MoveGuarded();
  ForgetEnded();
  if (training_ != nullptr) training_->Attend(port_.NowMs());
  std::stable_sort(clients_.begin(), clients_.end(),
                   [](const Client& a, const Client& b) { return a.since_ms < b.since_ms; });
  const uint64_t now = port_.NowMs();
  DropIdle(now);
  handler_.offers().Expire();
  if (waits[count].ready) AcceptOne(now);
  return waits[count + 1].ready;
}

bool BrokerServer::Serve(int wake, uint64_t wait_ms) {
  const uint64_t end = port_.NowMs() + wait_ms;
  do {
    if (Step(wake, Left(port_.NowMs(), end))) return true;
  } while (port_.NowMs() < end);
  return false;
}

void BrokerServer::Audit() {
  UZ_CHECK_LE(clients_.size(), kClientsMax);
  for (size_t i = 0; i < clients_.size(); ++i) {
    UZ_CHECK_GE(clients_[i].socket, 0);
    if (i > 0) UZ_CHECK_LE(clients_[i - 1].since_ms, clients_[i].since_ms);
  }
  handler_.offers().Audit();
}

}  // namespace uzswap
