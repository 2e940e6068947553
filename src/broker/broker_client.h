// BrokerClient: asks the broker of the run for what the program gave up: its files in /proc, the
// userfaultfd device, and descriptors that another engine process of the run has offered.
//
//   session memory ── BrokerAddress ──> Connect ──> one call for each request ──> destructor closes
//
// Each step waits at most kTimeoutMs: connecting, sending, receiving. A broker that is stopped or
// has ended makes a call fail; it never blocks the engine. After a call failed because of the
// connection (not because the broker refused), the connection is closed, and every later call fails
// with ENOTCONN. The broker drops a connection without requests after 5 s: connect when there is
// something to ask.
//
// Runs on engine threads in foreign programs: raw system calls, no heap, no stdio, no thread-local
// state but errno. It leaves no descriptor open but those that it returns. One thread.
#ifndef UZSWAP_BROKER_BROKER_CLIENT_H_
#define UZSWAP_BROKER_BROKER_CLIENT_H_

#include <cstdint>

#include "base/result.h"
#include "broker/broker_protocol.h"
#include "os/broker_port.h"
#include "session/broker_record.h"

namespace uzswap {

class BrokerClient {
 public:
  static constexpr uint32_t kTimeoutMs = 2000;

  // `address` is session.broker(). The errors: ECONNREFUSED, the broker has ended; ETIMEDOUT.
  static Result<BrokerClient> Connect(const BrokerAddress& address,
                                      uint32_t timeout_ms = kTimeoutMs);
  BrokerClient(BrokerClient&& other) noexcept;
  BrokerClient& operator=(BrokerClient&& other) noexcept;
  ~BrokerClient();

  // A descriptor that is returned is close-on-exec and belongs to the caller.

  // /proc/<the calling process>/<leaf>, opened with the broker's rights.
  Result<int> OpenProc(os::ProcLeaf leaf);
  // /proc/<program>/task, for openat and getdents64. The pidfd stays the caller's. Fails with EPERM
  // if the process does not share the caller's memory. If the folder is not the root of a mount of
  // its own (the broker has no CAP_SYS_ADMIN), openat of ".." leaves it.
  Result<int> OpenTasks(int program_pidfd);
  // /dev/userfaultfd: USERFAULTFD_IOC_NEW makes a userfaultfd for the memory of its caller.
  Result<int> OpenUserfaultfd();

  // The memory of the session. `address` needs no token. Fails with EPERM outside of the tree.
  Result<int> Join();

  // Leaves a descriptor with the broker for 60 s. `number` must be random: a process that knows it
  // can take the offer. The descriptor stays the caller's too. Fails with EEXIST if the number is
  // in use.
  Result<void> Offer(uint64_t number, int descriptor);
  // Takes it, once. Fails with ENOENT if there is no such offer (any more).
  Result<int> Take(uint64_t number);
  // Fails with ENOENT: it was taken, or is too old.
  Result<void> Withdraw(uint64_t number);

  // Starts a training process with a TrainingFile that has a request. The descriptor stays the
  // caller's. Returns at once; the answer appears in the file, or never does if the process is
  // killed. Fails with EBUSY if the run has a training process already: ask again later.
  Result<void> Train(int training_file);

  // The broker kills the program when this connection is closed while the program uses the memory
  // of `userfaultfd`. The connection must stay open. Fails with EPERM if the program does not share
  // the caller's memory, or if the broker may not compare it.
  Result<void> Guard(int program_pidfd, int userfaultfd);
  // The caller ends because the program is gone.
  Result<void> Unguard();
  // For a forked child: the descriptor is in the parent's descriptor table.
  void Forget() { socket_ = -1; }

 private:
  BrokerClient(int socket, const BrokerAddress& address) : socket_(socket), address_(address) {}

  // Sends a request and returns the descriptor of the reply, or -1 if it has none.
  Result<int> Ask(BrokerOperation operation, uint64_t argument, int descriptor, const char* what);
  Result<int> AskForDescriptor(BrokerOperation operation, uint64_t argument, int descriptor,
                               const char* what);
  Result<void> AskForNothing(BrokerOperation operation, uint64_t argument, int descriptor,
                             const char* what);
  Error Disconnect(int errno_value, const char* what);

  int socket_ = -1;
  BrokerAddress address_;
};

}  // namespace uzswap

#endif  // UZSWAP_BROKER_BROKER_CLIENT_H_
