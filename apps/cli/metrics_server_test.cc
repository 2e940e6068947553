#include "metrics_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "base/testing/wait_until.h"
#include "os/testing/temp_directory.h"

namespace uzswap::cli {
namespace {

constexpr uint64_t kNow = 1'000'000'000;

std::string RenderText(MetricsFormat format) {
  return format == MetricsFormat::kOpenMetrics ? "open\n" : "plain\n";
}

MetricsTarget UnixTarget(const std::string& path) {
  return {MetricsTarget::Kind::kUnix, path, "", 0};
}

int Connect(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

void Send(int fd, std::string_view text) {
  ASSERT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

// All that comes until the server closes the connection. The server has answered already.
std::string ReadToEnd(int fd) {
  std::string text;
  char bytes[4096];
  for (ssize_t count = 0; (count = recv(fd, bytes, sizeof(bytes), 0)) > 0;) {
    text.append(bytes, static_cast<size_t>(count));
  }
  close(fd);
  return text;
}

class MetricsServerTest : public testing::Test {
 protected:
  MetricsServerTest() : path_(directory_.path() + "/metrics.sock") {}
  void SetUp() override {
    auto made = MetricsServer::Listen(UnixTarget(path_));
    ASSERT_EQ(RefusalOf(made), nullptr);
    server_ = std::get<std::unique_ptr<MetricsServer>>(std::move(made));
  }
  std::string Ask(std::string_view request) {
    const int fd = Connect(path_);
    EXPECT_GE(fd, 0);
    Send(fd, request);
    server_->Serve(RenderText, kNow);
    return ReadToEnd(fd);
  }

  os::TempDirectory directory_;
  std::string path_;
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, AnswersWhatIsAsked) {
  struct Case {
    const char* request;
    const char* status;
    const char* end;
  };
  const Case cases[] = {
      {"GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nplain\n"},
      {"GET / HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n", "HTTP/1.1 200 OK\r\n",
       "\r\n\r\nopen\n"},
      {"HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Connection: close\r\n\r\n"},
      {"GET /other HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ", "/metrics\n"},
      {"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 ", "use GET\n"},
      {"nonsense\n", "HTTP/1.1 400 ", "understands\n"},
  };
  for (const Case& c : cases) {
    const std::string answer = Ask(c.request);
    EXPECT_TRUE(answer.starts_with(c.status)) << answer;
    EXPECT_TRUE(answer.ends_with(c.end)) << answer;
  }
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(MetricsServerTest, ARequestMayComeInParts) {
  const int fd = Connect(path_);
  for (const char c : std::string("GET /metrics HTTP/1.1\r\n\r")) {
    Send(fd, {&c, 1});
    server_->Serve(RenderText, kNow);
    ASSERT_EQ(server_->clients(), 1u);
  }
  Send(fd, "\n");
  server_->Serve(RenderText, kNow);
  EXPECT_TRUE(ReadToEnd(fd).ends_with("plain\n"));
}

TEST_F(MetricsServerTest, AnAnswerIsSentInPartsToAClientThatDoesNotRead) {
  const std::string large(16 << 20, 'x');
  const auto render = [&](MetricsFormat) { return large; };
  const int fd = Connect(path_);
  Send(fd, "GET / HTTP/1.1\r\n\r\n");
  server_->Serve(render, kNow);
  ASSERT_EQ(server_->clients(), 1u) << "the socket's buffer holds no 16 MiB";
  size_t received = 0;
  std::vector<char> bytes(1 << 20);
  const auto serve_next_part = [&] {
    const ssize_t count = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    received += count > 0 ? static_cast<size_t>(count) : 0;
    server_->Serve(render, kNow);
    return server_->clients() == 0;
  };
  ASSERT_TRUE(WaitUntil(serve_next_part)) << "only " << received << " bytes have come";
  received += ReadToEnd(fd).size();
  EXPECT_GT(received, large.size());
}

TEST_F(MetricsServerTest, AClientThatSaysNothingIsClosed) {
  const int fd = Connect(path_);
  server_->Serve(RenderText, kNow);
  server_->Serve(RenderText, kNow + MetricsServer::kClientNs - 1);
  EXPECT_EQ(server_->clients(), 1u);
  server_->Serve(RenderText, kNow + MetricsServer::kClientNs);
  EXPECT_EQ(server_->clients(), 0u);
  EXPECT_EQ(ReadToEnd(fd), "");
}

TEST_F(MetricsServerTest, ManySilentClientsDelayTheOthersUntilTheyAreClosed) {
  std::vector<int> silent;
  for (size_t i = 0; i < MetricsServer::kClientsMax; ++i) silent.push_back(Connect(path_));
  server_->Serve(RenderText, kNow);
  EXPECT_EQ(server_->clients(), MetricsServer::kClientsMax);
  const int fd = Connect(path_);
  Send(fd, "GET / HTTP/1.1\r\n\r\n");
  std::vector<pollfd> set;
  server_->AddTo(set, kNow);
  EXPECT_EQ(set.size(), MetricsServer::kClientsMax) << "the listener would wake the runner always";
  server_->Serve(RenderText, kNow + MetricsServer::kClientNs);
  server_->Serve(RenderText, kNow + MetricsServer::kClientNs);
  EXPECT_TRUE(ReadToEnd(fd).ends_with("plain\n"));
  for (const int each : silent) close(each);
}

TEST_F(MetricsServerTest, AThousandConnectionsAreAnswered) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Ask("GET /metrics HTTP/1.1\r\n\r\n").ends_with("plain\n")) << i;
  }
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(MetricsServerTest, TheSocketIsPrivateAndRemovedAtTheEnd) {
  struct stat status = {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777u, 0600u);
  const auto second = MetricsServer::Listen(UnixTarget(path_));
  ASSERT_NE(RefusalOf(second), nullptr) << "somebody listens there";
  EXPECT_NE(RefusalOf(second)->cause.find("in use"), std::string::npos);
  server_.reset();
  EXPECT_NE(stat(path_.c_str(), &status), 0);
}

TEST_F(MetricsServerTest, AnAbandonedSocketIsReplacedAndAFileIsNot) {
  const std::string left = directory_.path() + "/left.sock";
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, left.c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  close(listener);
  EXPECT_EQ(RefusalOf(MetricsServer::Listen(UnixTarget(left))), nullptr);

  const std::string file = directory_.path() + "/file";
  const int fd = open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  close(fd);
  EXPECT_NE(RefusalOf(MetricsServer::Listen(UnixTarget(file))), nullptr);
  EXPECT_EQ(access(file.c_str(), F_OK), 0);
}

TEST(MetricsTarget, IsASocketAPortOrAFile) {
  using Kind = MetricsTarget::Kind;
  struct Case {
    const char* text;
    Kind kind;
    const char* path;
    const char* host;
    uint16_t port;
  };
  const Case cases[] = {
      {"unix:/run/a.sock", Kind::kUnix, "/run/a.sock", "", 0},
      {"unix:a", Kind::kUnix, "a", "", 0},
      {"127.0.0.1:9400", Kind::kTcp, "", "127.0.0.1", 9400},
      {"localhost:1", Kind::kTcp, "", "127.0.0.1", 1},
      {":9400", Kind::kTcp, "", "::", 9400},
      {"[::1]:65535", Kind::kTcp, "", "::1", 65535},
      {"/tmp/a.prom", Kind::kFile, "/tmp/a.prom", "", 0},
      {"./a:1", Kind::kFile, "./a:1", "", 0},
  };
  for (const Case& c : cases) {
    const auto parsed = ParseMetricsTarget(c.text);
    ASSERT_EQ(RefusalOf(parsed), nullptr) << c.text;
    const auto& target = std::get<MetricsTarget>(parsed);
    EXPECT_EQ(target.kind, c.kind) << c.text;
    EXPECT_EQ(target.path, c.path) << c.text;
    EXPECT_EQ(target.host, c.host) << c.text;
    EXPECT_EQ(target.port, c.port) << c.text;
  }
  for (const char* bad : {"", "unix:", "metrics", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                          "127.0.0.1:9x", "example.org:80", "[::1:9", "1.2.3:4"}) {
    const auto parsed = ParseMetricsTarget(bad);
    ASSERT_NE(RefusalOf(parsed), nullptr) << bad;
    EXPECT_FALSE(RefusalOf(parsed)->fix.empty()) << bad;
  }
  EXPECT_NE(RefusalOf(ParseMetricsTarget("unix:/" + std::string(120, 'a'))), nullptr);
}

}  // namespace
}  // namespace uzswap::cli
