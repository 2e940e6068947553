#include "broker/broker_protocol.h"

#include <cstring>

namespace uzswap {
namespace {

// Takes the same time wherever the difference is.
bool Equal(const BrokerSecret& a, const BrokerSecret& b) {
  const volatile uint64_t difference = (a.words[0] ^ b.words[0]) | (a.words[1] ^ b.words[1]);
  return difference == 0;
}

// Whether the request of this operation carries a descriptor, and its largest argument.
struct Shape {
  bool known = true;
  bool descriptor = false;
  uint64_t argument_max = 0;
};

Shape ShapeOf(BrokerOperation operation) {
  switch (operation) {
    case BrokerOperation::kOpenProc:
      return {true, false, os::kProcLeafCount - 1};
    case BrokerOperation::kOpenTasks:
    case BrokerOperation::kGuardProgram:
    case BrokerOperation::kGuardMemory:
    case BrokerOperation::kTrain:
      return {true, true, 0};
    case BrokerOperation::kOpenUserfaultfd:
    case BrokerOperation::kUnguard:
    case BrokerOperation::kJoin:
      return {true, false, 0};
    case BrokerOperation::kOffer:
      return {true, true, UINT64_MAX};
    case BrokerOperation::kTake:
    case BrokerOperation::kWithdraw:
      return {true, false, UINT64_MAX};
  }
  return {false, false, 0};
}

}  // namespace

RequestOutcome ParseRequest(std::span<const std::byte> bytes, bool has_descriptor,
                            const BrokerSecret& token, BrokerRequest* request) {
  if (bytes.size() != sizeof(BrokerRequest)) return RequestOutcome::kMalformed;
  BrokerRequest read;
  memcpy(&read, bytes.data(), sizeof(read));
  if (read.magic != kBrokerMagic || read.version != kBrokerVersion) {
    return RequestOutcome::kMalformed;
  }
  // First the token: a stranger learns nothing about the operations.
  if (read.operation != BrokerOperation::kJoin && !Equal(read.token, token)) {
    return RequestOutcome::kWrongToken;
  }
  const Shape shape = ShapeOf(read.operation);
  if (!shape.known || shape.descriptor != has_descriptor || read.argument > shape.argument_max) {
    return RequestOutcome::kMalformed;
  }
  *request = read;
  return RequestOutcome::kGood;
}

bool ParseReply(std::span<const std::byte> bytes, const BrokerSecret& proof, BrokerReply* reply) {
  if (bytes.size() != sizeof(BrokerReply)) return false;
  BrokerReply read;
  memcpy(&read, bytes.data(), sizeof(read));
  if (read.magic != kBrokerMagic || read.version != kBrokerVersion || read.errno_value < 0 ||
      !Equal(read.proof, proof)) {
    return false;
  }
  *reply = read;
  return true;
}

BrokerName NameOf(const BrokerAddress& address) {
  BrokerName name;
  name.Text("uzswap-").Hexadecimal(address.name);
  return name;
}

}  // namespace uzswap
