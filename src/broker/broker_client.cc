#include "broker/broker_client.h"

#include <cerrno>
#include <utility>

#include "os/packet_socket.h"

namespace uzswap {
namespace {

// Literals, because an Error keeps the pointer.
const char* WhatOf(os::ProcLeaf leaf) {
  switch (leaf) {
    case os::ProcLeaf::kStatm:
      return "asking the broker for statm";
    case os::ProcLeaf::kStatus:
      return "asking the broker for status";
    case os::ProcLeaf::kSmapsRollup:
      return "asking the broker for smaps_rollup";
    case os::ProcLeaf::kPagemap:
      return "asking the broker for pagemap";
    case os::ProcLeaf::kMaps:
      return "asking the broker for maps";
    case os::ProcLeaf::kSmaps:
      return "asking the broker for smaps";
  }
  return "asking the broker for a file in /proc";
}

}  // namespace

Result<BrokerClient> BrokerClient::Connect(const BrokerAddress& address, uint32_t timeout_ms) {
  const Result<int> socket = os::ConnectAbstract(NameOf(address).view(), timeout_ms);
  if (!socket.ok()) return socket.error();
  return BrokerClient(socket.value(), address);
}

BrokerClient::BrokerClient(BrokerClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), address_(other.address_) {}

BrokerClient& BrokerClient::operator=(BrokerClient&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(address_, other.address_);
  return *this;
}

BrokerClient::~BrokerClient() { os::CloseDescriptor(socket_); }

Error BrokerClient::Disconnect(int errno_value, const char* what) {
  // A reply that comes late must not be taken for the reply to the next request.
  os::CloseDescriptor(std::exchange(socket_, -1));
  return {errno_value, what};
}

Result<int> BrokerClient::Ask(BrokerOperation operation, uint64_t argument, int descriptor,
                              const char* what) {
  if (socket_ < 0) return Error{ENOTCONN, what};
  BrokerRequest request;
  request.operation = operation;
  request.argument = argument;
  request.token = address_.token;
  const Result<void> sent =
      os::SendPacket(socket_, std::as_bytes(std::span(&request, 1)), descriptor);
  if (!sent.ok()) {
    const int failure = sent.error().errno_value;
    return Disconnect(failure == EAGAIN ? ETIMEDOUT : failure, what);
  }
  BrokerReply reply;
  std::byte buffer[sizeof(reply)];
  const os::Packet packet = os::ReceivePacket(socket_, buffer);
  if (packet.outcome == os::PacketOutcome::kNotYet) return Disconnect(ETIMEDOUT, what);
  if (packet.outcome == os::PacketOutcome::kClosed) return Disconnect(ECONNRESET, what);
  if (packet.outcome == os::PacketOutcome::kMalformed) return Disconnect(EPROTO, what);
  if (!ParseReply({buffer, packet.bytes}, address_.proof, &reply)) {
    os::CloseDescriptor(packet.descriptor);
    return Disconnect(EPROTO, what);
  }
  if (reply.errno_value != 0) {
    os::CloseDescriptor(packet.descriptor);
    return Error{reply.errno_value, what};
  }
  return packet.descriptor;
}

Result<int> BrokerClient::AskForDescriptor(BrokerOperation operation, uint64_t argument,
                                           int descriptor, const char* what) {
  const Result<int> got = Ask(operation, argument, descriptor, what);
  if (got.ok() && got.value() < 0) return Disconnect(EPROTO, what);
  return got;
}

Result<void> BrokerClient::AskForNothing(BrokerOperation operation, uint64_t argument,
                                         int descriptor, const char* what) {
  const Result<int> got = Ask(operation, argument, descriptor, what);
  if (!got.ok()) return got.error();
  if (got.value() >= 0) {
    os::CloseDescriptor(got.value());
    return Disconnect(EPROTO, what);
  }
  return {};
}

Result<int> BrokerClient::OpenProc(os::ProcLeaf leaf) {
  return AskForDescriptor(BrokerOperation::kOpenProc, static_cast<uint64_t>(leaf), -1,
                          WhatOf(leaf));
}

Result<int> BrokerClient::OpenTasks(int program_pidfd) {
  return AskForDescriptor(BrokerOperation::kOpenTasks, 0, program_pidfd,
                          "asking the broker for the program's task folder");
}

Result<int> BrokerClient::OpenUserfaultfd() {
  return AskForDescriptor(BrokerOperation::kOpenUserfaultfd, 0, -1,
                          "asking the broker for /dev/userfaultfd");
}

Result<int> BrokerClient::Join() {
  return AskForDescriptor(BrokerOperation::kJoin, 0, -1, "asking the broker for the session");
}

Result<void> BrokerClient::Offer(uint64_t number, int descriptor) {
  return AskForNothing(BrokerOperation::kOffer, number, descriptor,
                       "offering a descriptor through the broker");
}

Result<int> BrokerClient::Take(uint64_t number) {
  return AskForDescriptor(BrokerOperation::kTake, number, -1,
                          "taking a descriptor from the broker");
}

Result<void> BrokerClient::Withdraw(uint64_t number) {
  return AskForNothing(BrokerOperation::kWithdraw, number, -1,
                       "withdrawing a descriptor from the broker");
}

Result<void> BrokerClient::Train(int training_file) {
  return AskForNothing(BrokerOperation::kTrain, 0, training_file,
                       "asking the broker for a training process");
}

Result<void> BrokerClient::Guard(int program_pidfd, int userfaultfd) {
  constexpr char kWhat[] = "asking the broker to guard the program";
  const Result<void> done = AskForNothing(BrokerOperation::kGuardProgram, 0, program_pidfd, kWhat);
  if (!done.ok()) return done;
  return AskForNothing(BrokerOperation::kGuardMemory, 0, userfaultfd, kWhat);
}

Result<void> BrokerClient::Unguard() {
  return AskForNothing(BrokerOperation::kUnguard, 0, -1, "ending the broker's guard");
}

}  // namespace uzswap
