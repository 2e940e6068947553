#include "broker/request_handler.h"

#include <cerrno>
#include <utility>

namespace uzswap {

RequestHandler::Answer RequestHandler::Handle(std::span<const std::byte> message,
                                              const os::PacketPeer& peer, int descriptor,
                                              Guard* guard) {
  BrokerRequest request;
  Answer answer;
  switch (ParseRequest(message, descriptor >= 0, address_.token, &request)) {
    case RequestOutcome::kMalformed:
      counters_.malformed_requests.Add();
      break;
    case RequestOutcome::kWrongToken:
      counters_.wrong_tokens.Add();
      break;
    case RequestOutcome::kGood: {
      const Result<int> served = Serve(request, peer, &descriptor, guard);
      answer.verdict = Verdict::kReply;
      answer.reply.proof = address_.proof;
      if (served.ok()) {
        answer.descriptor = served.value();
      } else {
        answer.reply.errno_value = served.error().errno_value;
      }
      break;
    }
  }
  if (descriptor >= 0) port_.Close(descriptor);
  return answer;
}

Result<int> RequestHandler::Serve(const BrokerRequest& request, const os::PacketPeer& peer,
                                  int* descriptor, Guard* guard) {
  switch (request.operation) {
    case BrokerOperation::kOpenProc:
      return OpenProc(peer, static_cast<os::ProcLeaf>(request.argument));
    case BrokerOperation::kOpenTasks:
      return OpenTasks(peer, *descriptor);
    case BrokerOperation::kOpenUserfaultfd:
      return IfAlive(port_.OpenUserfaultfdDevice(), -1);
    case BrokerOperation::kOffer:
      if (!offers_.Put(request.argument, *descriptor)) return Error{EEXIST, "offer"};
      *descriptor = -1;
      return -1;
    case BrokerOperation::kTake: {
      const int taken = offers_.Take(request.argument);
      if (taken < 0) return Error{ENOENT, "take"};
      return taken;
    }
    case BrokerOperation::kWithdraw:
      if (!offers_.Withdraw(request.argument)) return Error{ENOENT, "withdraw"};
      return -1;
    case BrokerOperation::kGuardProgram:
      return GuardProgram(peer, descriptor, guard);
    case BrokerOperation::kGuardMemory:
      if (guard->program < 0 || guard->memory >= 0) return Error{EINVAL, "guard"};
      guard->memory = std::exchange(*descriptor, -1);
      counters_.guards.Add();
      return -1;
    case BrokerOperation::kUnguard:
      guard->Close(port_);
      return -1;
    case BrokerOperation::kJoin:
      return Join(peer);
    case BrokerOperation::kTrain:
      return Train(*descriptor);
  }
  return Error{ENOSYS, "operation"};
}

Result<int> RequestHandler::Train(int file) {
  if (training_ == nullptr) return Error{ENOSYS, "training"};
  const Result<void> started = training_->Start(file, port_.NowMs());
  if (started.ok()) {
    counters_.trainings.Add();
    return -1;
  }
  const bool busy = started.error().errno_value == EBUSY;
  (busy ? counters_.busy_trainings : counters_.refused_trainings).Add();
  return started.error();
}

Result<int> RequestHandler::Join(const os::PacketPeer& peer) {
  if (session_ < 0 || !port_.DescendsFrom(peer.pid, runner_) || port_.HasEnded(peer.pidfd)) {
    counters_.refused_joins.Add();
    return Error{EPERM, "a process outside of the runner's tree"};
  }
  const Result<int> memory = port_.ReopenMemory(session_);
  if (!memory.ok()) {
    counters_.failed_opens.Add();
    return memory;
  }
  counters_.joins.Add();
  return memory;
}

Result<int> RequestHandler::OpenProc(const os::PacketPeer& peer, os::ProcLeaf leaf) {
  return IfAlive(port_.OpenProcFile(peer.pid, leaf), peer.pidfd);
}

// Only who shares the program's memory: the broker may kill what the client may not.
Result<int> RequestHandler::GuardProgram(const os::PacketPeer& peer, int* pidfd, Guard* guard) {
  if (guard->program >= 0) return Error{EINVAL, "guard"};
  const Result<uint32_t> program = port_.ProcessOf(*pidfd);
  if (!program.ok()) return program.error();
  if (port_.CompareMemory(peer.pid, program.value()) != os::MemoryRelation::kSame ||
      port_.HasEnded(*pidfd)) {
    counters_.refused_programs.Add();
    return Error{EPERM, "a process with other memory"};
  }
  guard->program = std::exchange(*pidfd, -1);
  return -1;
}

Result<int> RequestHandler::OpenTasks(const os::PacketPeer& peer, int pidfd) {
  const Result<uint32_t> program = port_.ProcessOf(pidfd);
  if (!program.ok()) {
    counters_.failed_opens.Add();
    return program.error();
  }
  switch (port_.CompareMemory(peer.pid, program.value())) {
    case os::MemoryRelation::kDifferent:
      counters_.refused_programs.Add();
      return Error{EPERM, "a process with other memory"};
    case os::MemoryRelation::kUnknown:
      counters_.unverified_programs.Add();
      break;
    case os::MemoryRelation::kSame:
      break;
  }
  return IfAlive(port_.OpenTaskFolder(program.value()), pidfd);
}

Result<int> RequestHandler::IfAlive(Result<int> opened, int pidfd) {
  if (!opened.ok()) {
    counters_.failed_opens.Add();
    return opened;
  }
  if (pidfd >= 0 && port_.HasEnded(pidfd)) {
    port_.Close(opened.value());
    counters_.ended_processes.Add();
    return Error{ESRCH, "a process that has ended"};
  }
  counters_.opened.Add();
  return opened;
}

}  // namespace uzswap
