#include "os/packet_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace uzswap::os {
namespace {

constexpr int kPeerPidfd = 77;  // SO_PEERPIDFD

// A call with a timeout ends early with EINTR when its thread is stopped and continued.
constexpr int kInterruptsMax = 16;

struct Address {
  sockaddr_un socket = {};
  size_t length = 0;
};

Address AbstractAddress(std::string_view name) {
  UZ_CHECK_LE(name.size(), 100u);
  Address address;
  address.socket.sun_family = AF_UNIX;
  memcpy(address.socket.sun_path + 1, name.data(), name.size());
  address.length = offsetof(sockaddr_un, sun_path) + 1 + name.size();
  return address;
}

long NewSocket(int more_flags) {
  return syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | more_flags, 0);
}

Error CloseAndFail(long socket, int failure, const char* what) {
  syscall(SYS_close, socket);
  return Error{failure, what};
}

bool SetTimeout(long socket, int option, uint32_t timeout_ms) {
  const timeval timeout = {static_cast<time_t>(timeout_ms / 1000),
                           static_cast<suseconds_t>(timeout_ms % 1000 * 1000)};
  return syscall(SYS_setsockopt, socket, SOL_SOCKET, option, &timeout, sizeof(timeout)) == 0;
}

// The control message with exactly one descriptor. CMSG_SPACE would have room for two.
struct alignas(cmsghdr) OneDescriptor {
  std::byte bytes[CMSG_SPACE(sizeof(int))] = {};
};
constexpr size_t kControlBytes = CMSG_LEN(sizeof(int));

int DescriptorIn(const msghdr& message, const OneDescriptor& control) {
  if (message.msg_controllen < kControlBytes) return -1;
  cmsghdr header = {};
  memcpy(&header, control.bytes, sizeof(header));
  if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_RIGHTS ||
      header.cmsg_len != kControlBytes) {
    return -1;
  }
  int descriptor = -1;
  memcpy(&descriptor, control.bytes + CMSG_LEN(0), sizeof(descriptor));
  return descriptor;
}

}  // namespace

Result<int> ListenAbstract(std::string_view name, int backlog) {
  const long socket = NewSocket(SOCK_NONBLOCK);
  if (socket < 0) return Error{errno, "socket of the broker"};
  const Address address = AbstractAddress(name);
  if (syscall(SYS_bind, socket, &address.socket, address.length) != 0) {
    return CloseAndFail(socket, errno, "bind of the broker");
  }
  if (syscall(SYS_listen, socket, backlog) != 0) {
    return CloseAndFail(socket, errno, "listen of the broker");
  }
  return static_cast<int>(socket);
}

Result<int> ConnectAbstract(std::string_view name, uint32_t timeout_ms) {
  const long socket = NewSocket(0);
  if (socket < 0) return Error{errno, "socket for the broker"};
  if (!SetTimeout(socket, SO_SNDTIMEO, timeout_ms) ||
      !SetTimeout(socket, SO_RCVTIMEO, timeout_ms)) {
    return CloseAndFail(socket, errno, "timeout of the broker's socket");
  }
  const Address address = AbstractAddress(name);
  for (int i = 0; i < kInterruptsMax; ++i) {
    if (syscall(SYS_connect, socket, &address.socket, address.length) == 0) {
      return static_cast<int>(socket);
    }
    if (errno != EINTR) break;
  }
  return CloseAndFail(socket, errno == EAGAIN ? ETIMEDOUT : errno, "connecting to the broker");
}

Result<int> AcceptPacketSocket(int listener) {
  const long socket =
      syscall(SYS_accept4, listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) return Error{errno, "accept"};
  return static_cast<int>(socket);
}

Result<PacketPeer> PeerOf(int socket) {
  struct {  // struct ucred, which needs _GNU_SOURCE
    int32_t pid = 0;
    uint32_t uid = 0;
    uint32_t gid = 0;
  } credentials;
  socklen_t length = sizeof(credentials);
  if (syscall(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return Error{errno, "SO_PEERCRED"};
  }
  PacketPeer peer;
  peer.pid = credentials.pid > 0 ? static_cast<uint32_t>(credentials.pid) : 0;
  int pidfd = -1;
  length = sizeof(pidfd);
  if (syscall(SYS_getsockopt, socket, SOL_SOCKET, kPeerPidfd, &pidfd, &length) == 0) {
    peer.pidfd = pidfd;
  }
  return peer;
}

Packet ReceivePacket(int socket, std::span<std::byte> buffer) {
  OneDescriptor control;
  iovec vector = {buffer.data(), buffer.size()};
  msghdr message = {};
  long count = -1;
  for (int i = 0; i < kInterruptsMax; ++i) {
    message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = kControlBytes;
    count = syscall(SYS_recvmsg, socket, &message, MSG_CMSG_CLOEXEC);
    if (count >= 0 || errno != EINTR) break;
  }
  if (count < 0) {
    const bool not_yet = errno == EAGAIN || errno == EINTR;
    return {not_yet ? PacketOutcome::kNotYet : PacketOutcome::kClosed, 0, -1};
  }
  const int descriptor = DescriptorIn(message, control);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    CloseDescriptor(descriptor);
    return {PacketOutcome::kMalformed, 0, -1};
  }
  if (count == 0) {
    CloseDescriptor(descriptor);
    return {PacketOutcome::kClosed, 0, -1};
  }
  return {PacketOutcome::kReceived, static_cast<size_t>(count), descriptor};
}

Result<void> SendPacket(int socket, std::span<const std::byte> bytes, int descriptor) {
  OneDescriptor control;
  // sendmsg does not write to the bytes, although the pointer is not const.
  iovec vector = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    cmsghdr header = {};
    header.cmsg_len = kControlBytes;
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = SCM_RIGHTS;
    memcpy(control.bytes, &header, sizeof(header));
    memcpy(control.bytes + CMSG_LEN(0), &descriptor, sizeof(descriptor));
    message.msg_control = control.bytes;
    message.msg_controllen = kControlBytes;
  }
  for (int i = 0; i < kInterruptsMax; ++i) {
    const long count = syscall(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);
    if (count == static_cast<long>(bytes.size())) return {};
    if (count >= 0) return Error{EIO, "sending a whole message"};
    if (errno != EINTR) break;
  }
  return Error{errno, "sending a message"};
}

void WaitReadable(std::span<WaitEntry> entries, uint32_t timeout_ms) {
  UZ_CHECK_LE(entries.size(), kWaitEntriesMax);
  pollfd polled[kWaitEntriesMax];
  for (size_t i = 0; i < entries.size(); ++i) polled[i] = {entries[i].descriptor, POLLIN, 0};
  const timespec timeout = {static_cast<time_t>(timeout_ms / 1000),
                            static_cast<long>(timeout_ms % 1000 * 1000000)};
  const long count = syscall(SYS_ppoll, polled, entries.size(), &timeout, nullptr, 0);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i].ready = count > 0 && polled[i].revents != 0;
  }
}

void CloseDescriptor(int descriptor) {
  if (descriptor >= 0) syscall(SYS_close, descriptor);
}

}  // namespace uzswap::os
