#include "engine/broker_files.h"

#include "os/open_fallback.h"
#include "os/packet_socket.h"
#include "os/program.h"
#include "session/broker_variable.h"

namespace uzswap {
namespace {

// The function that asks has no argument for it. Set before the engine's threads start.
SessionMember* g_member = nullptr;

Result<int> AskForTasks(BrokerClient& client) {
  const int program = os::OpenProgramPidfd();
  if (program < 0) return Error{0, "pidfd_open of the program"};
  const Result<int> folder = client.OpenTasks(program);
  os::CloseDescriptor(program);
  return folder;
}

Result<int> Ask(BrokerClient& client, os::NeededFile file) {
  switch (file) {
    case os::NeededFile::kStatm:
      return client.OpenProc(os::ProcLeaf::kStatm);
    case os::NeededFile::kSmapsRollup:
      return client.OpenProc(os::ProcLeaf::kSmapsRollup);
    case os::NeededFile::kPagemap:
      return client.OpenProc(os::ProcLeaf::kPagemap);
    case os::NeededFile::kMaps:
      return client.OpenProc(os::ProcLeaf::kMaps);
    case os::NeededFile::kSmaps:
      return client.OpenProc(os::ProcLeaf::kSmaps);
    case os::NeededFile::kTasks:
      return AskForTasks(client);
    case os::NeededFile::kUserfaultfd:
      return client.OpenUserfaultfd();
  }
  return Error{0, "an unknown file"};
}

int AskBroker(os::NeededFile file) {
  const std::optional<BrokerAddress> address = g_member->session().broker();
  if (!address) return -1;
  Result<BrokerClient> client = BrokerClient::Connect(*address);
  if (!client.ok()) return -1;
  const Result<int> opened = Ask(client.value(), file);
  if (!opened.ok()) return -1;
  g_member->statistics().broker_files.Add();
  return opened.value();
}

}  // namespace

int JoinByBroker(std::string_view broker) {
  const std::optional<BrokerAddress> address = FromBrokerVariable(broker);
  if (!address) return -1;
  Result<BrokerClient> client = BrokerClient::Connect(*address);
  if (!client.ok()) return -1;
  const Result<int> memory = client.value().Join();
  return memory.ok() ? memory.value() : -1;
}

void BrokerFiles::Start(SessionMember& member) {
  member_ = &member;
  g_member = &member;
  os::SetOpenFallback(AskBroker);
}

void BrokerFiles::Guard(int userfaultfd) {
  if (!os::OutsideProgram()) return;
  const std::optional<BrokerAddress> address = member_->session().broker();
  const int program = os::OpenProgramPidfd();
  bool guarded = false;
  if (address && program >= 0) {
    Result<BrokerClient> client = BrokerClient::Connect(*address);
    if (client.ok() && client.value().Guard(program, userfaultfd).ok()) {
      guard_.emplace(std::move(client).value());
      guarded_.store(true, std::memory_order_release);
      guarded = true;
    }
  }
  os::CloseDescriptor(program);
  if (!guarded) member_->statistics().unguarded_engines.Add();
}

void BrokerFiles::Tie() {
  if (!tether_.Tie().ok()) member_->statistics().untied_engines.Add();
}

void BrokerFiles::Unguard() {
  tether_.Untie();
  if (guarded_.load(std::memory_order_acquire)) static_cast<void>(guard_->Unguard());
}

void BrokerFiles::Forget() {
  tether_.Forget();
  if (guard_) guard_->Forget();
  guard_.reset();
  guarded_.store(false, std::memory_order_relaxed);
}

}  // namespace uzswap
