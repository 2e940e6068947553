// Arbitrary bytes as messages to the broker: no descriptor is leaked or closed twice, a message
// with a wrong token never opens anything, and the offers stay consistent.
//
// One message: a byte of flags, then up to 34 bytes. Flag 1: a descriptor comes with it. 2: a
// pidfd. 4: magic, version and operation are made valid. 8: so is the token. 16: time passes. 32:
// the client ends. 64, 128: the process of the pidfd.
#include <algorithm>
#include <cstring>

#include "broker/request_handler.h"
#include "broker/testing/fake_broker_port.h"
#include "broker/testing/fake_training_starter.h"

namespace {

using uzswap::BrokerRequest;

constexpr uzswap::BrokerAddress kAddress{1, {{2, 3}}, {{4, 5}}};
constexpr size_t kMessageMax = sizeof(BrokerRequest) + 2;
constexpr uint32_t kClient = 10;

void Repair(uint8_t flags, std::byte (&message)[kMessageMax]) {
  BrokerRequest request;
  const auto operation = std::to_integer<uint16_t>(message[6]);
  memcpy(static_cast<void*>(&request), message, sizeof(request));
  if ((flags & 4) != 0) {
    request.magic = uzswap::kBrokerMagic;
    request.version = uzswap::kBrokerVersion;
    request.operation = static_cast<uzswap::BrokerOperation>(operation % 13);
    request.argument %= 16;
  }
  if ((flags & 8) != 0) request.token = kAddress.token;
  memcpy(message, &request, sizeof(request));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uzswap::testing::FakeBrokerPort port;
  uzswap::BrokerCounters counters;
  {
    uzswap::testing::FakeTrainingStarter training;
    uzswap::RequestHandler handler(port, kAddress, counters);
    handler.AllowTraining(&training);
    port.ShareMemory(kClient, 1);
    uzswap::Guard guard;
    uzswap::os::PacketPeer peer{kClient, port.NewPidfd(kClient)};
    while (size > 0) {
      const uint8_t flags = *data++;
      --size;
      std::byte message[kMessageMax] = {};
      size_t length = std::min(size, kMessageMax);
      memcpy(message, data, length);
      data += length;
      size -= length;
      if ((flags & 12) != 0) length = sizeof(BrokerRequest);
      Repair(flags, message);
      if ((flags & 16) != 0) port.Advance(20'000);
      training.Attend(port.NowMs());
      if ((flags & 32) != 0) port.End(kClient);
      int descriptor = -1;
      if ((flags & 1) != 0) descriptor = port.NewDescriptor();
      if ((flags & 3) == 2) descriptor = port.NewPidfd(flags >> 6);
      const int calls = port.calls;
      const uint64_t wrong = counters.wrong_tokens.Get();
      const auto answer = handler.Handle(std::span(message, length), peer, descriptor, &guard);
      if (counters.wrong_tokens.Get() != wrong) UZ_CHECK_EQ(port.calls, calls);
      if (answer.descriptor >= 0) {
        UZ_CHECK_EQ(answer.reply.errno_value, 0);
        port.Close(answer.descriptor);
      }
      handler.offers().Audit();
      UZ_CHECK_EQ(counters.trainings.Get(), static_cast<uint64_t>(training.starts));
      const size_t guarded = (guard.program >= 0 ? 1 : 0) + (guard.memory >= 0 ? 1 : 0);
      UZ_CHECK_EQ(port.open_count(), handler.offers().size() + guarded + 1);
    }
    guard.Close(port);
  }
  UZ_CHECK_EQ(port.open_count(), 1u);
  return 0;
}
