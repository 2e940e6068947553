// MetricsServer: answers HTTP requests for the figures of a run, on a Unix socket or a TCP port.
//
//   runner's loop:  AddTo(set) ──> poll(set) ──> Serve(render)
//
//   listening ──accept──> reading ──request complete──> writing ──all sent──┐
//                            │                             │                ├──> closed
//                            └── bad: 400 ── not GET: 405 ─┘                │
//                            └────── no end after 5 s, or an error ─────────┘
//
// Nothing here blocks, so a client that is slow, or sends nothing, delays nobody. At most
// kClientsMax are served at once; others wait in the kernel's queue. A Unix socket has mode 0600,
// and clients of other users are refused. There is no other protection: what can reach a TCP port
// can read the figures.
//
// A well-kept HTTP library would need a thread or shared libraries, and the runner is one static
// program (docs/decisions/0031). One object, on the runner's only thread. The socket is not passed
// on to CMD.
#ifndef UZSWAP_APPS_CLI_METRICS_SERVER_H_
#define UZSWAP_APPS_CLI_METRICS_SERVER_H_

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "metrics_target.h"
#include "open_metrics.h"

namespace uzswap::cli {

class MetricsServer {
 public:
  static constexpr size_t kClientsMax = 32;
  static constexpr uint64_t kClientNs = 5'000'000'000;

  using Render = std::function<std::string(MetricsFormat)>;

  // A socket that nobody listens on any more is replaced.
  static OrRefusal<std::unique_ptr<MetricsServer>> Listen(const MetricsTarget& target);
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  // Closes all connections and removes the Unix socket, if it is still this one.
  ~MetricsServer();

  // Adds what Serve waits for.
  void AddTo(std::vector<pollfd>& set, uint64_t now_ns) const;
  // Accepts, reads and writes what is possible now.
  void Serve(const Render& render, uint64_t now_ns);

  [[nodiscard]] size_t clients() const { return clients_.size(); }

 private:
  struct Client {
    int descriptor;
    uint64_t deadline_ns;
    std::string request;
    std::string answer;  // empty until the request is complete
    size_t sent = 0;
  };
  // After accept fails for lack of descriptors, the listener is left alone for so long.
  static constexpr uint64_t kRestNs = 1'000'000'000;

  MetricsServer(int listener, const MetricsTarget& target);
  void Accept(uint64_t now_ns);
  [[nodiscard]] bool MayConnect(int descriptor) const;
  // False if the connection is to be closed.
  static bool Advance(Client& client, const Render& render);
  static bool Read(Client& client, const Render& render);
  static bool Write(Client& client);

  int listener_;
  bool is_unix_;
  std::string path_;  // of the Unix socket
  dev_t device_ = 0;
  ino_t inode_ = 0;
  uint64_t rests_until_ns_ = 0;
  std::list<Client> clients_;
};

// The answer to a complete request, or to a bad one.
std::string AnswerTo(std::string_view request, const MetricsServer::Render& render);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_METRICS_SERVER_H_
