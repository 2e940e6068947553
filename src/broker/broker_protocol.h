// The messages between a client in the engine (broker/broker_client.h) and the broker of a run
// (broker/broker_server.h). One request, one reply, each with at most one descriptor.
//
//   request  | magic | version | operation | argument | token |     + descriptor, if the operation
//   reply    | magic | version | errno     |          | proof |     + descriptor   has one
//
//   operation          argument            descriptor sent     descriptor returned
//   kOpenProc          ProcLeaf            -                   /proc/<client>/<leaf>
//   kOpenTasks         0                   pidfd of the        /proc/<program>/task
//                                          program
//   kOpenUserfaultfd   0                   -                   /dev/userfaultfd
//   kOffer             number of an offer  what is offered     -
//   kTake              number of an offer  -                   what was offered
//   kWithdraw          number of an offer  -                   -
//   kGuardProgram      0                   pidfd of the        -
//                                          program
//   kGuardMemory       0                   its userfaultfd     -
//   kUnguard           0                   -                   -
//   kJoin              0                   -                   memory of the session
//   kTrain             0                   a TrainingFile      -
//
// The client is the process that connected. It is the engine process, which shares the memory of
// its program; so its files in /proc describe the program's memory.
//
// kJoin needs no token: who has not joined yet cannot know it. The others do.
//
// A request that ParseRequest refuses gets no reply: the broker closes the connection. An errno in
// a reply means that the request was understood and could not be served.
//
// Plain data and pure functions. Any thread may call them.
#ifndef UZSWAP_BROKER_BROKER_PROTOCOL_H_
#define UZSWAP_BROKER_BROKER_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "os/broker_port.h"
#include "os/text_line.h"
#include "session/broker_record.h"

namespace uzswap {

enum class BrokerOperation : uint16_t {
  kOpenProc = 1,
  kOpenTasks,
  kOpenUserfaultfd,
  kOffer,
  kTake,
  kWithdraw,
  kGuardProgram,
  kGuardMemory,
  kUnguard,
  kJoin,
  kTrain,
};

inline constexpr uint32_t kBrokerMagic = 0x72627a75;  // "uzbr" in memory
inline constexpr uint16_t kBrokerVersion = 1;

struct BrokerRequest {
  uint32_t magic = kBrokerMagic;
  uint16_t version = kBrokerVersion;
  BrokerOperation operation{};
  uint64_t argument = 0;
  BrokerSecret token;
};
static_assert(sizeof(BrokerRequest) == 32);

struct BrokerReply {
  uint32_t magic = kBrokerMagic;
  uint16_t version = kBrokerVersion;
  uint16_t reserved = 0;
  int32_t errno_value = 0;  // 0: done
  uint32_t reserved2 = 0;
  BrokerSecret proof;
};
static_assert(sizeof(BrokerReply) == 32);

enum class RequestOutcome : uint8_t {
  kGood,
  kMalformed,  // size, magic, version, operation, argument, or a descriptor where none belongs
  kWrongToken,
};

// Reads one message. `request` is set if the outcome is kGood.
RequestOutcome ParseRequest(std::span<const std::byte> bytes, bool has_descriptor,
                            const BrokerSecret& token, BrokerRequest* request);

// True if the bytes are a reply of the broker with this proof. `reply` is then set.
bool ParseReply(std::span<const std::byte> bytes, const BrokerSecret& proof, BrokerReply* reply);

// The name of the broker's abstract socket.
using BrokerName = os::TextLine<32>;
BrokerName NameOf(const BrokerAddress& address);

}  // namespace uzswap

#endif  // UZSWAP_BROKER_BROKER_PROTOCOL_H_
