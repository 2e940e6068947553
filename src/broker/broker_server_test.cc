// The server over real sockets, one step at a time: the test is the client, and the clock is fake.
#include "broker/broker_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/slowness.h"
#include "broker/broker_client.h"
#include "broker/testing/fake_training_starter.h"

namespace uzswap {
namespace {

// The real port with a clock that the test moves.
class ClockedPort : public os::BrokerPort {
 public:
  Result<int> OpenProcFile(uint32_t pid, os::ProcLeaf leaf) override {
    return real_.OpenProcFile(pid, leaf);
  }
  Result<int> OpenTaskFolder(uint32_t pid) override { return real_.OpenTaskFolder(pid); }
  Result<int> OpenUserfaultfdDevice() override { return real_.OpenUserfaultfdDevice(); }
  Result<int> ReopenMemory(int descriptor) override { return real_.ReopenMemory(descriptor); }
  bool DescendsFrom(uint32_t pid, uint32_t ancestor) override {
    return real_.DescendsFrom(pid, ancestor);
  }
  Result<uint32_t> ProcessOf(int pidfd) override { return real_.ProcessOf(pidfd); }
  bool HasEnded(int pidfd) override { return program_ended || real_.HasEnded(pidfd); }
  bool MemoryInUse(int /*userfaultfd*/) override { return memory_in_use; }
  void Kill(int /*pidfd*/) override { ++kills; }
  os::MemoryRelation CompareMemory(uint32_t pid, uint32_t other) override {
    return real_.CompareMemory(pid, other);
  }
  void Close(int descriptor) override { real_.Close(descriptor); }
  uint64_t NowMs() override { return now_ms; }

  uint64_t now_ms = 1'000'000;
  bool program_ended = false;
  bool memory_in_use = true;
  int kills = 0;

 private:
  os::LinuxBrokerPort real_;
};

BrokerAddress NewAddress() {
  const Result<BrokerAddress> made = BrokerServer::MakeAddress();
  UZ_CHECK(made.ok());
  return made.value();
}

int ListenAt(const BrokerAddress& address) {
  const Result<int> listener = BrokerServer::Listen(address);
  UZ_CHECK(listener.ok());
  return listener.value();
}

class BrokerServerTest : public ::testing::Test {
 protected:
  ~BrokerServerTest() override {
    for (const int client : clients_) os::CloseDescriptor(client);
  }
  // A connection that the server has accepted.
  int Connect() {
    const Result<int> socket = os::ConnectAbstract(NameOf(address_).view(), 0);
    UZ_CHECK(socket.ok());
    clients_.push_back(socket.value());
    Step();
    return socket.value();
  }
  void Step() {
    EXPECT_FALSE(server_.Step(-1, 0));
    server_.Audit();
  }
  [[nodiscard]] BrokerRequest Request(BrokerOperation operation, uint64_t argument) const {
    BrokerRequest request;
    request.operation = operation;
    request.argument = argument;
    request.token = address_.token;
    return request;
  }
  void Send(int socket, const BrokerRequest& request, int descriptor = -1) {
    EXPECT_TRUE(os::SendPacket(socket, std::as_bytes(std::span(&request, 1)), descriptor).ok());
  }
  // What the client has received. The server has answered already, or never will.
  static os::Packet Receive(int socket, BrokerReply* reply = nullptr) {
    fcntl(socket, F_SETFL, O_NONBLOCK);
    std::byte buffer[sizeof(BrokerReply)];
    const os::Packet packet = os::ReceivePacket(socket, buffer);
    if (reply != nullptr && packet.bytes == sizeof(*reply)) memcpy(reply, buffer, sizeof(*reply));
    return packet;
  }
  [[nodiscard]] bool IsDropped(int socket) const {
    return Receive(socket).outcome == os::PacketOutcome::kClosed;
  }

  ClockedPort port_;
  BrokerCounters counters_;
  BrokerAddress address_ = NewAddress();
  BrokerServer server_{ListenAt(address_), address_, port_, counters_};
  std::vector<int> clients_;
};

TEST_F(BrokerServerTest, AddressesDiffer) {
  const BrokerAddress other = NewAddress();
  EXPECT_NE(other.name, address_.name);
  EXPECT_NE(other.token.words[0], address_.token.words[0]);
  EXPECT_NE(address_.token.words[0], address_.proof.words[0]);
  EXPECT_EQ(NameOf(address_).view().substr(0, 7), "uzswap-");
}

TEST_F(BrokerServerTest, RequestsAreAnsweredOneAtATime) {
  const int client = Connect();
  Send(client, Request(BrokerOperation::kOpenProc, 0));
  Send(client, Request(BrokerOperation::kTake, 5));
  Step();
  BrokerReply reply;
  const os::Packet first = Receive(client, &reply);
  EXPECT_EQ(first.outcome, os::PacketOutcome::kReceived);
  EXPECT_GE(first.descriptor, 0);
  EXPECT_EQ(reply.errno_value, 0);
  os::CloseDescriptor(first.descriptor);
  EXPECT_EQ(Receive(client).outcome, os::PacketOutcome::kNotYet);
  Step();
  EXPECT_EQ(Receive(client, &reply).descriptor, -1);
  EXPECT_EQ(reply.errno_value, ENOENT);
  EXPECT_EQ(counters_.connections.Get(), 1u);
}

// The test is engine and program in one: it shares its own memory.
class BrokerGuardTest : public BrokerServerTest {
 protected:
  int ConnectGuarded() {
    const int client = Connect();
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
    for (const BrokerOperation operation :
         {BrokerOperation::kGuardProgram, BrokerOperation::kGuardMemory}) {
      Send(client, Request(operation, 0), pidfd);
      Step();
      BrokerReply reply;
      EXPECT_EQ(Receive(client, &reply).outcome, os::PacketOutcome::kReceived);
      EXPECT_EQ(reply.errno_value, 0);
    }
    os::CloseDescriptor(pidfd);
    EXPECT_EQ(server_.client_count(), 0u);
    return client;
  }
  void EndConnection() {
    os::CloseDescriptor(clients_.back());
    clients_.pop_back();
    Step();
    EXPECT_EQ(server_.guarded_count(), 0u);
  }
};

TEST_F(BrokerGuardTest, MoreProcessesAreGuardedThanOrdinaryClientsFit) {
  constexpr size_t kMany = 3 * BrokerServer::kClientsMax;
  for (size_t i = 0; i < kMany; ++i) ConnectGuarded();
  EXPECT_EQ(server_.guarded_count(), kMany);
  port_.program_ended = true;
  for (size_t i = 0; i < kMany; ++i) {
    os::CloseDescriptor(clients_.back());
    clients_.pop_back();
  }
  Step();
  EXPECT_EQ(server_.guarded_count(), 0u);
  EXPECT_EQ(port_.kills, 0);
}

TEST_F(BrokerGuardTest, AProgramThatLostItsEngineIsKilled) {
  ConnectGuarded();
  EXPECT_EQ(server_.guarded_count(), 1u);
  EndConnection();
  EXPECT_EQ(port_.kills, 1);
  EXPECT_EQ(counters_.killed_programs.Get(), 1u);
  // Its memory stays registered until it has ended.
  Step();
  EXPECT_EQ(server_.dying_count(), 1u);
  port_.program_ended = true;
  Step();
  EXPECT_EQ(server_.dying_count(), 0u);
  EXPECT_EQ(port_.kills, 1);
}

TEST_F(BrokerGuardTest, AProgramThatEndedFirstIsNot) {
  ConnectGuarded();
  port_.program_ended = true;
  EndConnection();
  EXPECT_EQ(port_.kills, 0);
}

TEST_F(BrokerGuardTest, AProgramThatCalledExecIsNot) {
  ConnectGuarded();
  port_.memory_in_use = false;
  EndConnection();
  EXPECT_EQ(port_.kills, 0);
  EXPECT_EQ(server_.dying_count(), 0u);
}

TEST_F(BrokerGuardTest, AnEngineThatSaysThatItEndsHarmsNobody) {
  const int client = ConnectGuarded();
  Send(client, Request(BrokerOperation::kUnguard, 0));
  Step();
  BrokerReply reply;
  EXPECT_EQ(Receive(client, &reply).outcome, os::PacketOutcome::kReceived);
  EndConnection();
  EXPECT_EQ(port_.kills, 0);
}

TEST_F(BrokerGuardTest, AGuardedClientMayBeIdle) {
  ConnectGuarded();
  port_.now_ms += 100 * BrokerServer::kIdleMs;
  Step();
  EXPECT_EQ(server_.guarded_count(), 1u);
  EXPECT_EQ(counters_.idle_clients.Get(), 0u);
}

TEST_F(BrokerServerTest, AClientWithoutTokenIsDropped) {
  const int client = Connect();
  BrokerRequest request = Request(BrokerOperation::kOpenProc, 0);
  request.token = {};
  Send(client, request);
  Step();
  EXPECT_TRUE(IsDropped(client));
  EXPECT_EQ(server_.client_count(), 0u);
  EXPECT_EQ(counters_.wrong_tokens.Get(), 1u);
  EXPECT_EQ(counters_.opened.Get(), 0u);
}

TEST_F(BrokerServerTest, RubbishDropsTheClient) {
  const std::string kMessages[] = {"x", std::string(31, 'y'), std::string(33, 'z'),
                                   std::string(4096, '\0')};
  uint64_t dropped = 0;
  for (const std::string& message : kMessages) {
    const int client = Connect();
    EXPECT_TRUE(os::SendPacket(client, std::as_bytes(std::span(message)), -1).ok());
    Step();
    EXPECT_TRUE(IsDropped(client)) << message.size() << " bytes";
    EXPECT_EQ(counters_.malformed_requests.Get(), ++dropped);
  }
}

// The kernel can pass many descriptors with one message.
TEST_F(BrokerServerTest, TwoDescriptorsDropTheClient) {
  const int client = Connect();
  BrokerRequest request = Request(BrokerOperation::kOffer, 9);
  int sent[2] = {client, client};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(sent))] = {};
  iovec vector = {&request, sizeof(request)};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(sent));
  memcpy(CMSG_DATA(header), sent, sizeof(sent));
  ASSERT_EQ(sendmsg(client, &message, 0), static_cast<ssize_t>(sizeof(request)));
  Step();
  EXPECT_TRUE(IsDropped(client));
  EXPECT_EQ(counters_.malformed_requests.Get(), 1u);
  EXPECT_EQ(server_.offer_count(), 0u);
}

TEST_F(BrokerServerTest, AnIdleClientIsDropped) {
  const int idle = Connect();
  port_.now_ms += BrokerServer::kIdleMs - 1;
  const int busy = Connect();
  EXPECT_EQ(server_.client_count(), 2u);
  port_.now_ms += 1;
  Step();
  EXPECT_TRUE(IsDropped(idle));
  EXPECT_EQ(server_.client_count(), 1u);
  EXPECT_EQ(counters_.idle_clients.Get(), 1u);
  // A request counts from its own time.
  port_.now_ms += BrokerServer::kIdleMs - 2;
  Send(busy, Request(BrokerOperation::kTake, 1));
  Step();
  port_.now_ms += BrokerServer::kIdleMs - 1;
  Step();
  EXPECT_EQ(server_.client_count(), 1u);
  port_.now_ms += 1;
  Step();
  EXPECT_EQ(server_.client_count(), 0u);
}

TEST_F(BrokerServerTest, AClientThatEndsIsForgotten) {
  const int client = Connect();
  EXPECT_EQ(server_.client_count(), 1u);
  shutdown(client, SHUT_RDWR);
  Step();
  EXPECT_EQ(server_.client_count(), 0u);
  EXPECT_EQ(counters_.malformed_requests.Get(), 0u);
}

TEST_F(BrokerServerTest, AFullTableLetsNewClientsWaitAndThenDisplacesTheIdle) {
  for (size_t i = 0; i < BrokerServer::kClientsMax; ++i) Connect();
  EXPECT_EQ(server_.client_count(), BrokerServer::kClientsMax);
  const int late = Connect();
  EXPECT_EQ(server_.client_count(), BrokerServer::kClientsMax);
  EXPECT_EQ(counters_.connections.Get(), BrokerServer::kClientsMax) << "it waits";
  Send(late, Request(BrokerOperation::kTake, 1));

  port_.now_ms += BrokerServer::kDisplaceMs;
  Send(clients_[0], Request(BrokerOperation::kTake, 1));
  Step();  // the first client is not idle any more, so the second one is displaced
  EXPECT_EQ(counters_.displaced_clients.Get(), 1u);
  EXPECT_EQ(Receive(clients_[0]).outcome, os::PacketOutcome::kReceived);
  EXPECT_TRUE(IsDropped(clients_[1]));
  Step();
  EXPECT_EQ(Receive(late).outcome, os::PacketOutcome::kReceived);
  EXPECT_EQ(server_.client_count(), BrokerServer::kClientsMax);
}

TEST_F(BrokerServerTest, AClientThatDoesNotReadIsDropped) {
  const int client = Connect();
  fcntl(client, F_SETFL, O_NONBLOCK);
  const int small = 1;
  setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  const BrokerRequest request = Request(BrokerOperation::kTake, 1);
  for (int i = 0; i < 100'000 && server_.client_count() == 1; ++i) {
    const auto bytes = std::as_bytes(std::span(&request, 1));
    if (!os::SendPacket(client, bytes, -1).ok()) break;
    Step();
  }
  EXPECT_EQ(server_.client_count(), 0u);
  EXPECT_EQ(counters_.unsent_replies.Get(), 1u);
}

TEST_F(BrokerServerTest, OffersExpireWithoutARequest) {
  const int client = Connect();
  Send(client, Request(BrokerOperation::kOffer, 4), client);
  Step();
  BrokerReply reply;
  EXPECT_EQ(Receive(client, &reply).outcome, os::PacketOutcome::kReceived);
  EXPECT_EQ(reply.errno_value, 0);
  EXPECT_EQ(server_.offer_count(), 1u);
  port_.now_ms += OfferTable::kLifeMs;
  Step();
  EXPECT_EQ(server_.offer_count(), 0u);
  EXPECT_EQ(counters_.expired_offers.Get(), 1u);
}

TEST_F(BrokerServerTest, AFullDescriptorTablePausesTheListener) {
  const Result<int> socket = os::ConnectAbstract(NameOf(address_).view(), 0);
  ASSERT_TRUE(socket.ok());
  clients_.push_back(socket.value());
  std::vector<int> all;
  for (int copy = dup(0); copy >= 0; copy = dup(0)) all.push_back(copy);
  ASSERT_EQ(errno, EMFILE);
  Step();
  Step();
  for (const int copy : all) close(copy);
  EXPECT_EQ(counters_.failed_accepts.Get(), 1u) << "the second step left the listener alone";
  Step();
  EXPECT_EQ(server_.client_count(), 0u);
  port_.now_ms += BrokerServer::kAcceptPauseMs;
  Step();
  EXPECT_EQ(server_.client_count(), 1u);
}

TEST_F(BrokerServerTest, ATrainingProcessIsAttendedTo) {
  testing::FakeTrainingStarter training;
  server_.AllowTraining(&training);
  const int client = Connect();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Send(client, Request(BrokerOperation::kTrain, 0), ends[0]);
  Step();
  BrokerReply reply;
  EXPECT_EQ(Receive(client, &reply).descriptor, -1);
  EXPECT_EQ(reply.errno_value, 0);
  EXPECT_EQ(training.starts, 1);
  EXPECT_NE(training.due, UINT64_MAX);
  // At its end nothing else wakes the server: this would never end.
  training.wake = ends[0];
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  const int attends = training.attends;
  EXPECT_FALSE(server_.Step(-1, UINT32_MAX));
  EXPECT_EQ(training.attends, attends + 1);
  // At its time limit neither.
  training.wake = -1;
  port_.now_ms = training.due;
  EXPECT_FALSE(server_.Step(-1, UINT32_MAX));
  EXPECT_EQ(training.due, UINT64_MAX);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(BrokerServerTest, TheWakeDescriptorEndsServe) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_FALSE(server_.Step(ends[0], 0));
  close(ends[1]);
  EXPECT_TRUE(server_.Serve(ends[0], 3'600'000));
  close(ends[0]);
}

std::ptrdiff_t OpenDescriptors() {
  const std::filesystem::directory_iterator folder("/proc/self/fd");
  return std::distance(begin(folder), end(folder));
}

// BrokerClient, which blocks, against a server in a thread.
class BrokerClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe2(wake_, O_CLOEXEC), 0);
    thread_ = std::thread([this, listener = ListenAt(address_)] {
      os::LinuxBrokerPort port;
      BrokerServer server(listener, address_, port, counters_);
      while (!server.Serve(wake_[0], 3'600'000)) {
      }
    });
  }
  void TearDown() override {
    Stop();
    close(wake_[0]);
  }
  void Stop() {
    if (!thread_.joinable()) return;
    close(wake_[1]);
    thread_.join();
  }
  [[nodiscard]] BrokerClient Connect() const {
    Result<BrokerClient> client = BrokerClient::Connect(address_, kWaitMs);
    UZ_CHECK(client.ok());
    return std::move(client).value();
  }

  const uint32_t kWaitMs = Slower<uint32_t>(60'000);
  BrokerAddress address_ = NewAddress();
  BrokerCounters counters_;
  int wake_[2] = {-1, -1};
  std::thread thread_;
};

TEST_F(BrokerClientTest, EveryFileInProcIsTheCallers) {
  BrokerClient client = Connect();
  for (uint64_t leaf = 0; leaf < os::kProcLeafCount; ++leaf) {
    const Result<int> opened = client.OpenProc(static_cast<os::ProcLeaf>(leaf));
    ASSERT_TRUE(opened.ok()) << opened.error().what;
    EXPECT_EQ(fcntl(opened.value(), F_GETFD), FD_CLOEXEC);
    const std::string link = "/proc/self/fd/" + std::to_string(opened.value());
    char target[128] = {};
    EXPECT_GT(readlink(link.c_str(), target, sizeof(target) - 1), 0);
    EXPECT_EQ(target, "/proc/" + std::to_string(getpid()) + "/" +
                          os::Name(static_cast<os::ProcLeaf>(leaf)));
    close(opened.value());
  }
}

TEST_F(BrokerClientTest, AnOfferReachesAnotherClient) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  BrokerClient giver = Connect();
  BrokerClient taker = Connect();
  ASSERT_TRUE(giver.Offer(42, ends[1]).ok());
  EXPECT_EQ(giver.Offer(42, ends[1]).error().errno_value, EEXIST);
  close(ends[1]);
  const Result<int> taken = taker.Take(42);
  ASSERT_TRUE(taken.ok()) << taken.error().what;
  EXPECT_EQ(write(taken.value(), "x", 1), 1);
  char c = 0;
  EXPECT_EQ(read(ends[0], &c, 1), 1);
  EXPECT_EQ(c, 'x');
  close(taken.value());
  EXPECT_EQ(read(ends[0], &c, 1), 0) << "the broker has forgotten the descriptor";
  EXPECT_EQ(taker.Take(42).error().errno_value, ENOENT);
  ASSERT_TRUE(giver.Offer(43, ends[0]).ok());
  EXPECT_TRUE(taker.Withdraw(43).ok());
  EXPECT_EQ(giver.Withdraw(43).error().errno_value, ENOENT);
  close(ends[0]);
}

TEST_F(BrokerClientTest, AWrongTokenEndsTheConnection) {
  BrokerAddress guessed = address_;
  guessed.token.words[1] ^= 1;
  Result<BrokerClient> client = BrokerClient::Connect(guessed, kWaitMs);
  ASSERT_TRUE(client.ok());
  const Error error = client.value().OpenProc(os::ProcLeaf::kMaps).error();
  EXPECT_EQ(error.errno_value, ECONNRESET);
  EXPECT_STREQ(error.what, "asking the broker for maps");
  EXPECT_EQ(client.value().Take(1).error().errno_value, ENOTCONN);
}

TEST_F(BrokerClientTest, ABrokerThatHasEndedIsAnError) {
  BrokerClient client = Connect();
  Stop();
  const int failure = client.OpenUserfaultfd().error().errno_value;
  EXPECT_TRUE(failure == EPIPE || failure == ECONNRESET) << failure;
  EXPECT_EQ(client.OpenUserfaultfd().error().errno_value, ENOTCONN);
  EXPECT_EQ(BrokerClient::Connect(address_).error().errno_value, ECONNREFUSED);
}

TEST_F(BrokerClientTest, NothingStaysOpen) {
  const auto before = OpenDescriptors();
  {
    BrokerClient client = Connect();
    BrokerClient moved = std::move(client);
    const Result<int> opened = moved.OpenProc(os::ProcLeaf::kStatm);
    ASSERT_TRUE(opened.ok());
    close(opened.value());
    EXPECT_FALSE(moved.Take(1).ok());
    EXPECT_FALSE(moved.OpenTasks(0).ok()) << "no pidfd";
  }
  Stop();
  EXPECT_EQ(OpenDescriptors(), before - 2) << "the server's listener and the wake pipe are closed";
}

// Servers that are not the broker. The test is the server.
class FalseBrokerTest : public ::testing::Test {
 protected:
  BrokerAddress address_ = NewAddress();
  int listener_ = ListenAt(address_);
  ~FalseBrokerTest() override { os::CloseDescriptor(listener_); }
};

TEST_F(FalseBrokerTest, AStoppedBrokerIsATimeout) {
  Result<BrokerClient> client = BrokerClient::Connect(address_, 20);
  ASSERT_TRUE(client.ok()) << "the kernel has completed the connection";
  EXPECT_EQ(client.value().OpenProc(os::ProcLeaf::kStatm).error().errno_value, ETIMEDOUT);
  EXPECT_EQ(client.value().OpenProc(os::ProcLeaf::kStatm).error().errno_value, ENOTCONN);
}

TEST_F(FalseBrokerTest, AReplyWithoutTheProofIsRefused) {
  Result<BrokerClient> client = BrokerClient::Connect(address_, Slower<uint32_t>(60'000));
  ASSERT_TRUE(client.ok());
  const Result<int> accepted = os::AcceptPacketSocket(listener_);
  ASSERT_TRUE(accepted.ok());
  BrokerReply reply;
  reply.proof = address_.token;
  ASSERT_TRUE(os::SendPacket(accepted.value(), std::as_bytes(std::span(&reply, 1)), 0).ok());
  EXPECT_EQ(client.value().OpenProc(os::ProcLeaf::kStatm).error().errno_value, EPROTO);
  os::CloseDescriptor(accepted.value());
}

TEST_F(FalseBrokerTest, AReplyMustHaveADescriptorWhereOneBelongs) {
  for (const bool with_descriptor : {false, true}) {
    Result<BrokerClient> client = BrokerClient::Connect(address_, Slower<uint32_t>(60'000));
    ASSERT_TRUE(client.ok());
    const Result<int> accepted = os::AcceptPacketSocket(listener_);
    ASSERT_TRUE(accepted.ok());
    BrokerReply reply;
    reply.proof = address_.proof;
    ASSERT_TRUE(os::SendPacket(accepted.value(), std::as_bytes(std::span(&reply, 1)),
                               with_descriptor ? 0 : -1)
                    .ok());
    const int failure = with_descriptor ? client.value().Withdraw(1).error().errno_value
                                        : client.value().Take(1).error().errno_value;
    EXPECT_EQ(failure, EPROTO);
    os::CloseDescriptor(accepted.value());
  }
}

}  // namespace
}  // namespace uzswap
