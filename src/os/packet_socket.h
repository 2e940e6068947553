// Packet sockets: AF_UNIX sockets that keep the borders of messages and can carry one descriptor
// with each message.
//
//   ListenAbstract("name")                      ConnectAbstract("name", timeout)
//            │                                              │
//   AcceptPacketSocket ── a connection ─────────────────────┘
//            │   ReceivePacket / SendPacket: bytes and at most one descriptor
//
// The address is abstract: it is no file, so it does not depend on the root directory. It belongs
// to a network namespace. The kernel frees it when the last descriptor of the listener is closed.
//
// Sockets of ListenAbstract and AcceptPacketSocket never block. Those of ConnectAbstract block
// until their timeout, which is then the error ETIMEDOUT. All descriptors are close-on-exec.
//
// Only raw system calls, no heap, no thread-local state but errno: threads of the engine may call
// everything here. A socket belongs to one thread.
#ifndef UZSWAP_OS_PACKET_SOCKET_H_
#define UZSWAP_OS_PACKET_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace uzswap::os {

// Requires: at most 100 characters, without the leading zero byte.
Result<int> ListenAbstract(std::string_view name, int backlog);
// `timeout_ms` bounds the connecting, and then each SendPacket and ReceivePacket.
Result<int> ConnectAbstract(std::string_view name, uint32_t timeout_ms);
// Fails with EAGAIN if nobody waits.
Result<int> AcceptPacketSocket(int listener);

// The process at the other end when it connected.
struct PacketPeer {
  uint32_t pid = 0;  // in the caller's pid namespace; 0: it has no number there
  int pidfd = -1;    // the caller closes it; -1 if the kernel gives none (Linux 6.5)
};
Result<PacketPeer> PeerOf(int socket);

enum class PacketOutcome : uint8_t {
  kReceived,
  kNotYet,     // nothing came: never blocking, or the timeout has passed
  kClosed,     // the other end is closed, or the connection failed
  kMalformed,  // longer than the buffer, or more than one descriptor; those are closed
};
struct Packet {
  PacketOutcome outcome = PacketOutcome::kClosed;
  size_t bytes = 0;
  int descriptor = -1;  // the caller closes it
};
// An empty message cannot be told from the end of the connection: kClosed.
Packet ReceivePacket(int socket, std::span<std::byte> buffer);

// `descriptor` is -1, or stays the caller's. Does not raise SIGPIPE. Fails with EAGAIN if the other
// end does not read, with EPIPE if it is closed.
Result<void> SendPacket(int socket, std::span<const std::byte> bytes, int descriptor);

// Waits until one of them can be read or has ended, at most `timeout_ms`. Sets `ready` in each.
struct WaitEntry {
  int descriptor = -1;  // -1: ignored
  bool ready = false;
};
inline constexpr size_t kWaitEntriesMax = 1024;
void WaitReadable(std::span<WaitEntry> entries, uint32_t timeout_ms);

void CloseDescriptor(int descriptor);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PACKET_SOCKET_H_
