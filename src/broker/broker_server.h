// BrokerServer: serves the clients of one run (broker/broker_client.h), in a process of its own
// that keeps what the programs of the run may give up. docs/design/broker.md says why.
//
//   listener ──> accept ──> clients, at most 64 ──> one request ──> RequestHandler ──> reply
//                              │
//                              ├──> guarded_, after kGuardMemory (broker/guard.h): stays connected
//                              └──> dropped: idle for 5 s, malformed, wrong token, reply not read,
//                                   or for a new client if there are 64 and one is idle for 100 ms
//
// Nothing blocks but the wait for events. A client has at most one request at a time; a reply is
// sent at once or the client is dropped. So the server keeps no buffers.
//
// If the descriptor table is full, accept fails. The listener is then left alone for 100 ms,
// because it stays readable.
//
// One thread, in the broker's process. It may allocate. It opens nothing by itself; tests replace
// the port (files and the clock).
#ifndef UZSWAP_BROKER_BROKER_SERVER_H_
#define UZSWAP_BROKER_BROKER_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "broker/request_handler.h"
#include "os/broker_port.h"
#include "os/packet_socket.h"
#include "session/session.h"

namespace uzswap {

class BrokerServer {
 public:
  static constexpr size_t kClientsMax = 64;
  static constexpr size_t kGuardedMax = kProcessRecords;  // more processes have no record either
  static constexpr uint64_t kIdleMs = 5000;
  static constexpr uint64_t kDisplaceMs = 100;
  static constexpr uint64_t kAcceptPauseMs = 100;

  // A new random address. Fails only if the kernel has no random numbers.
  static Result<BrokerAddress> MakeAddress();
  // The listening socket. From then on clients can connect; they wait until a server runs.
  static Result<int> Listen(const BrokerAddress& address);

  // The listener is the server's from now on. Counters and port must outlive the server.
  BrokerServer(int listener, const BrokerAddress& address, os::BrokerPort& port,
               BrokerCounters& counters);
  // See RequestHandler.
  void AllowJoin(int session, uint32_t runner) { handler_.AllowJoin(session, runner); }
  // See RequestHandler. The server attends to its process.
  void AllowTraining(TrainingStarter* training) {
    handler_.AllowTraining(training);
    training_ = training;
  }
  BrokerServer(const BrokerServer&) = delete;
  BrokerServer& operator=(const BrokerServer&) = delete;
  ~BrokerServer();

  // Serves what comes until `wait_ms` have passed (false), or until `wake`, which may be -1, can be
  // read or has ended (true). Requires: the sum of now and `wait_ms` has 64 bits.
  bool Serve(int wake, uint64_t wait_ms);
  // Waits once, at most `wait_ms`, and serves what came: at most one request for each client. True
  // if `wake` is ready.
  bool Step(int wake, uint64_t wait_ms);

  [[nodiscard]] size_t client_count() const { return clients_.size(); }
  [[nodiscard]] size_t guarded_count() const { return guarded_.size(); }
  [[nodiscard]] size_t dying_count() const { return dying_.size(); }
  [[nodiscard]] size_t offer_count() { return handler_.offers().size(); }
  void Audit();

 private:
  struct Client {
    int socket;
    os::PacketPeer peer;
    uint64_t since_ms;  // of its last request, or of its connection
    Guard guard;
  };

  [[nodiscard]] bool MayAccept(uint64_t now) const;
  // How long the next wait may be, so that nothing is late.
  [[nodiscard]] uint32_t WaitMs(uint64_t now, uint64_t wait_ms);
  void DropIdle(uint64_t now);
  void AcceptOne(uint64_t now);
  // False if the client has to be dropped.
  bool ServeOne(Client& client);
  void Drop(size_t index);
  void Close(Client& client);
  // Clients that have a guard now leave the others, and those that lost theirs.
  void MoveGuarded();
  void ServeGuarded(const std::vector<os::WaitEntry>& waits, size_t first);
  // The engine process has ended, or its connection has.
  void LoseEngine(Client& client);
  void ForgetEnded();

  static_assert(kClientsMax + kGuardedMax + 3 <= os::kWaitEntriesMax);

  const int listener_;
  os::BrokerPort& port_;
  BrokerCounters& counters_;
  RequestHandler handler_;
  TrainingStarter* training_ = nullptr;
  std::vector<Client> clients_;  // the longest idle first
  std::vector<Client> guarded_;
  std::vector<Guard> dying_;  // programs that were killed and have not ended yet
  uint64_t accept_after_ms_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BROKER_BROKER_SERVER_H_
