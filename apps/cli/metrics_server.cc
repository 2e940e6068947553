#include "metrics_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <string_view>

#include "http_request.h"

namespace uzswap::cli {
namespace {

constexpr int kBacklog = 128;
constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

std::string NameOf(const MetricsTarget& target) {
  if (target.kind == MetricsTarget::Kind::kUnix) return target.path;
  return fmt::format("{}:{}", target.host, target.port);
}

Refusal CannotListen(const MetricsTarget& target, int failure) {
  const char* fix = failure == EADDRINUSE
                        ? "a program listens there, or it is another kind of file; name another one"
                        : "name an address or a folder that you may use";
  return {kCannotDo,
          fmt::format("--metrics: '{}' cannot be used: {}", NameOf(target), strerror(failure)),
          fix};
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A runner that was killed leaves its socket behind.
bool IsAbandoned(const sockaddr_un& address) {
  struct stat status = {};
  if (lstat(address.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int probe = socket(AF_UNIX, kSocketFlags, 0);
  if (probe < 0) return false;
  const int failed = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const bool abandoned = failed != 0 && errno == ECONNREFUSED;
  close(probe);
  return abandoned;
}

// Returns 0 or an errno.
int BindUnix(int listener, const std::string& path) {
  const sockaddr_un address = AddressOf(path);
  if (IsAbandoned(address)) unlink(path.c_str());
  const mode_t before = umask(0177);
  const int failed = bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int failure = failed == 0 ? 0 : errno;
  umask(before);
  return failure;
}

int BindTcp(int listener, const MetricsTarget& target, int family) {
  const int on = 1;
  const int off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in four = {};
  sockaddr_in6 six = {};
  const sockaddr* address = reinterpret_cast<const sockaddr*>(&four);
  socklen_t length = sizeof(four);
  if (family == AF_INET) {
    four.sin_family = AF_INET;
    four.sin_port = htons(target.port);
    inet_pton(AF_INET, target.host.c_str(), &four.sin_addr);
  } else {
    // All addresses are those of IPv4 too.
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(target.port);
    inet_pton(AF_INET6, target.host.c_str(), &six.sin6_addr);
    address = reinterpret_cast<const sockaddr*>(&six);
    length = sizeof(six);
  }
  return bind(listener, address, length) == 0 ? 0 : errno;
}

std::string Answer(const char* status, const char* type, std::string_view body, bool with_body) {
  std::string text = fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", status,
      type, body.size());
  if (with_body) text += body;
  return text;
}

}  // namespace

std::string AnswerTo(std::string_view request, const MetricsServer::Render& render) {
  constexpr char kText[] = "text/plain; charset=utf-8";
  const HttpRequest parsed = ParseHttp(request);
  if (parsed.state != HttpRequest::State::kComplete) {
    return Answer("400 Bad Request", kText, "not a request that uzswap understands\n", true);
  }
  const bool with_body = parsed.method != "HEAD";
  if (parsed.method != "GET" && with_body) {
    return Answer("405 Method Not Allowed\r\nAllow: GET, HEAD", kText, "use GET\n", true);
  }
  if (parsed.path != "/metrics" && parsed.path != "/") {
    return Answer("404 Not Found", kText, "the figures are at /metrics\n", with_body);
  }
  const MetricsFormat format =
      parsed.open_metrics ? MetricsFormat::kOpenMetrics : MetricsFormat::kPrometheus;
  return Answer("200 OK", ContentType(format), render(format), with_body);
}

OrRefusal<std::unique_ptr<MetricsServer>> MetricsServer::Listen(const MetricsTarget& target) {
  int family = AF_UNIX;
  if (target.kind == MetricsTarget::Kind::kTcp) {
    family = target.host.find(':') == std::string::npos ? AF_INET : AF_INET6;
  }
  const int listener = socket(family, kSocketFlags, 0);
  if (listener < 0 && errno == EAFNOSUPPORT && target.host == "::") {
    MetricsTarget without_ipv6 = target;
    without_ipv6.host = "0.0.0.0";
    return Listen(without_ipv6);
  }
  if (listener < 0) return CannotListen(target, errno);
  int failure =
      family == AF_UNIX ? BindUnix(listener, target.path) : BindTcp(listener, target, family);
  if (failure == 0 && listen(listener, kBacklog) != 0) failure = errno;
  if (failure != 0) {
    close(listener);
    return CannotListen(target, failure);
  }
  return std::unique_ptr<MetricsServer>(new MetricsServer(listener, target));
}

MetricsServer::MetricsServer(int listener, const MetricsTarget& target)
    : listener_(listener), is_unix_(target.kind == MetricsTarget::Kind::kUnix) {
  struct stat status = {};
  if (!is_unix_ || stat(target.path.c_str(), &status) != 0) return;
  path_ = target.path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

MetricsServer::~MetricsServer() {
  for (const Client& client : clients_) close(client.descriptor);
  close(listener_);
  struct stat status = {};
  if (path_.empty() || stat(path_.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) unlink(path_.c_str());
}

void MetricsServer::AddTo(std::vector<pollfd>& set, uint64_t now_ns) const {
  if (clients_.size() < kClientsMax && now_ns >= rests_until_ns_) {
    set.push_back({listener_, POLLIN, 0});
  }
  for (const Client& client : clients_) {
    const bool reads = client.answer.empty();
    set.push_back({client.descriptor, static_cast<short>(reads ? POLLIN : POLLOUT), 0});
  }
}

void MetricsServer::Serve(const Render& render, uint64_t now_ns) {
  Accept(now_ns);
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (now_ns < client->deadline_ns && Advance(*client, render)) {
      ++client;
    } else {
      close(client->descriptor);
      client = clients_.erase(client);
    }
  }
}

void MetricsServer::Accept(uint64_t now_ns) {
  while (clients_.size() < kClientsMax && now_ns >= rests_until_ns_) {
    const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0 && !MayConnect(descriptor)) {
      close(descriptor);
    } else if (descriptor >= 0) {
      clients_.push_back({descriptor, now_ns + kClientNs, "", ""});
    } else if (errno == EINTR || errno == ECONNABORTED) {
      continue;
    } else {
      if (errno != EAGAIN) rests_until_ns_ = now_ns + kRestNs;
      return;
    }
  }
}

bool MetricsServer::MayConnect(int descriptor) const {
  if (!is_unix_) return true;
  ucred peer = {};
  socklen_t length = sizeof(peer);
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

bool MetricsServer::Advance(Client& client, const Render& render) {
  if (client.answer.empty() && !Read(client, render)) return false;
  return client.answer.empty() || Write(client);
}

bool MetricsServer::Read(Client& client, const Render& render) {
  char bytes[4096];
  while (client.answer.empty()) {
    const ssize_t count = recv(client.descriptor, bytes, sizeof(bytes), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    client.request.append(bytes, static_cast<size_t>(count));
    if (ParseHttp(client.request).state != HttpRequest::State::kIncomplete) {
      client.answer = AnswerTo(client.request, render);
    }
  }
  return true;
}

// False also when all is sent: every connection serves one request.
bool MetricsServer::Write(Client& client) {
  while (client.sent < client.answer.size()) {
    const ssize_t count = send(client.descriptor, client.answer.data() + client.sent,
                               client.answer.size() - client.sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    client.sent += static_cast<size_t>(count);
  }
  return false;
}

}  // namespace uzswap::cli
