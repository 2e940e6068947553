#include "broker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "broker/broker_server.h"
#include "descriptors.h"
#include "os/broker_port.h"
#include "os/packet_socket.h"
#include "training_process.h"

namespace uzswap::cli {
namespace {

constexpr char kName[] = "uzswap-broker";
constexpr uint64_t kLookMs = 1000;
constexpr uint64_t kHourMs = 3'600'000;
// Clients with a socket and a pidfd each, offers, and what is open for a moment.
constexpr rlim_t kDescriptorsNeeded = 4096;

void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kDescriptorsNeeded) return;
  limit.rlim_cur = std::min(limit.rlim_max, kDescriptorsNeeded);
  setrlimit(RLIMIT_NOFILE, &limit);
}

// What the forked child does. `runner_ends` can be read when the runner has ended.
[[noreturn]] void BeBroker(Session& session, const BrokerAddress& address, int listener,
                           int runner_ends, pid_t runner) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  TakeNullDevice();
  CloseAllBut({listener, runner_ends, session.descriptor()});
  setpgid(0, 0);  // not setsid: docs/decisions/0042
  if (chdir("/") != 0) _exit(1);
  prctl(PR_SET_NAME, kName);
  RaiseDescriptorLimit();

  os::LinuxBrokerPort port;
  TrainingProcess training(session.broker_counters());
  BrokerServer server(listener, address, port, session.broker_counters());
  server.AllowJoin(session.descriptor(), static_cast<uint32_t>(runner));
  server.AllowTraining(&training);
  while (!server.Serve(runner_ends, kHourMs)) {
  }
  BrokerLifetime lifetime;
  while (true) {
    session.MarkDead();
    if (lifetime.NoteState(session.LiveCount(), session.FindOtherUsers())) _exit(0);
    server.Serve(-1, kLookMs);
  }
}

}  // namespace

bool BrokerLifetime::NoteState(uint32_t live_processes, os::OtherUsers others) {
  unmapped_looks_ = others == os::OtherUsers::kNone ? unmapped_looks_ + 1 : 0;
  if (others == os::OtherUsers::kSome) return false;
  return live_processes == 0 || unmapped_looks_ >= kUnmappedLooks;
}

BrokerProcess::BrokerProcess(Session& session) : session_(session) {
  if (!Listen()) session_.broker_counters().start_failures.Add();
}

bool BrokerProcess::Listen() {
  const Result<BrokerAddress> address = BrokerServer::MakeAddress();
  if (!address.ok()) return false;
  const Result<int> listener = BrokerServer::Listen(address.value());
  if (!listener.ok()) return false;
  address_ = address.value();
  listener_ = listener.value();
  session_.SetBroker(address_);
  return true;
}

void BrokerProcess::StartIfAsked() {
  pollfd asked = {listener_, POLLIN, 0};
  if (poll(&asked, 1, 0) > 0) Start();
}

void BrokerProcess::Start() {
  if (listener_ < 0) return;
  BrokerCounters& counters = session_.broker_counters();
  (Fork() ? counters.starts : counters.start_failures).Add();
  // In the runner the listener must not stay open: the kernel then refuses clients as soon as the
  // broker has ended, or if there is none.
  CloseListener();
}

void BrokerProcess::CloseListener() { os::CloseDescriptor(std::exchange(listener_, -1)); }

bool BrokerProcess::Fork() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  const pid_t runner = getpid();
  process_ = fork();
  if (process_ == 0) {
    close(ends[1]);
    BeBroker(session_, address_, listener_, ends[0], runner);
  }
  close(ends[0]);
  runner_lives_ = ends[1];
  return process_ > 0;
}

void BrokerProcess::ReapIfEnded() {
  if (process_ > 0 && waitpid(process_, nullptr, WNOHANG) != 0) process_ = -1;
}

bool BrokerProcess::InUse() const {
  session_.MarkDead();
  return !BrokerLifetime().NoteState(session_.LiveCount(), session_.FindOtherUsers());
}

void BrokerProcess::EndIfUnused() {
  ReapIfEnded();
  if (process_ < 0 || killed_ || InUse()) return;
  killed_ = kill(process_, SIGKILL) == 0;
}

BrokerProcess::~BrokerProcess() {
  if (listener_ >= 0 && InUse()) Start();
  CloseListener();
  EndIfUnused();
  if (killed_) waitpid(process_, nullptr, 0);
  if (runner_lives_ >= 0) close(runner_lives_);
}

}  // namespace uzswap::cli
