// RequestHandler: decides what a client of the broker gets. It knows no sockets.
//
//   one message + who sent it ──> Handle ──> kReply: errno, and perhaps a descriptor to send
//                                       └──> kDrop: not a request, or of a stranger
//
// A file is opened by the pid of its process, then the process must still live: until then the
// kernel cannot have given the pid to another one.
//
// A task folder is given only to a process that shares the memory of the program it names. If the
// kernel does not allow to compare, it is given and counted: at the start of the run each process
// could open it.
//
// The session's memory is given to descendants of the runner, and only while the runner lives:
// orphans of the tree become its children, so no member of the tree is missed. kJoin is for members
// that run as another user or in another root directory.
//
// One thread, in the broker's process.
#ifndef UZSWAP_BROKER_REQUEST_HANDLER_H_
#define UZSWAP_BROKER_REQUEST_HANDLER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "broker/broker_protocol.h"
#include "broker/guard.h"
#include "broker/offer_table.h"
#include "broker/training_starter.h"
#include "os/broker_port.h"
#include "os/packet_socket.h"

namespace uzswap {

class RequestHandler {
 public:
  enum class Verdict : uint8_t { kReply, kDrop };
  struct Answer {
    Verdict verdict = Verdict::kDrop;
    BrokerReply reply;
    int descriptor = -1;  // to send; then the caller closes it
  };

  RequestHandler(os::BrokerPort& port, const BrokerAddress& address, BrokerCounters& counters)
      : port_(port), address_(address), counters_(counters), offers_(port, counters) {}

  // Members of the runner's tree may join the session whose memory is behind `session`, which stays
  // the caller's.
  void AllowJoin(int session, uint32_t runner) {
    session_ = session;
    runner_ = runner;
  }

  // Without it nobody can train. It must outlive the handler.
  void AllowTraining(TrainingStarter* training) { training_ = training; }

  // `descriptor` came with the message, or is -1. It is the handler's from now on. `guard` is the
  // client's.
  Answer Handle(std::span<const std::byte> message, const os::PacketPeer& peer, int descriptor,
                Guard* guard);

  OfferTable& offers() { return offers_; }

 private:
  // A descriptor to send, or -1 for none, or the errno of the reply.
  Result<int> Serve(const BrokerRequest& request, const os::PacketPeer& peer, int* descriptor,
                    Guard* guard);
  Result<int> Train(int file);
  Result<int> Join(const os::PacketPeer& peer);
  Result<int> GuardProgram(const os::PacketPeer& peer, int* pidfd, Guard* guard);
  Result<int> OpenProc(const os::PacketPeer& peer, os::ProcLeaf leaf);
  Result<int> OpenTasks(const os::PacketPeer& peer, int pidfd);
  // `opened` if the process of the pidfd still lives. Counts either way.
  Result<int> IfAlive(Result<int> opened, int pidfd);

  os::BrokerPort& port_;
  const BrokerAddress address_;
  BrokerCounters& counters_;
  OfferTable offers_;
  int session_ = -1;  // -1: nobody may join
  uint32_t runner_ = 0;
  TrainingStarter* training_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_BROKER_REQUEST_HANDLER_H_
