#include "os/linux_user_fault.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/check.h"
#include "base/units.h"
#include "os/probe.h"
#include "os/program_tether.h"
#include "os/uffd_abi.h"

namespace uzswap::os {
namespace {

constexpr size_t kMessagesPerRead = 16;

// syscall() is used because the C library's wrappers are cancellation points. These read the
// thread's descriptor, and that of the engine's threads is all zeroes (os/thread.h).
int Ioctl(int descriptor, unsigned long request, void* argument) {
  return static_cast<int>(syscall(SYS_ioctl, descriptor, request, argument));
}

// All that ioctl_userfaultfd(2) documents, and what Linux 6.18 can return besides.
std::optional<PortOutcome> OutcomeOf(int error) {
  switch (error) {
    case EAGAIN:
    case EINTR:
      return PortOutcome::kRetry;
    case EEXIST:
      return PortOutcome::kExists;
    case ENOENT:
    case ESRCH:
      return PortOutcome::kGone;
    case EBUSY:
      return PortOutcome::kBusy;
    case EINVAL:
    case EFAULT:
    case EPERM:
    case EHWPOISON:
      return PortOutcome::kRefused;
    case ENOMEM:
    case ENOSPC:
      return PortOutcome::kNoMemory;
    default:
      return std::nullopt;
  }
}

UserFaultEvent Translate(const abi::UffdMessage& message) {
  UserFaultEvent event;
  switch (message.event) {
    case abi::UffdEvent::kPagefault:
      event.kind = UserFaultEvent::Kind::kPageFault;
      event.start = RoundDownToPage(message.pagefault.address);
      event.end = event.start + kPageSize;
      event.write = (message.pagefault.flags & abi::kUffdPagefaultFlagWrite) != 0;
      event.thread = message.pagefault.thread_id;
      return event;
    case abi::UffdEvent::kUnmap:
    case abi::UffdEvent::kRemove:
      event.kind = message.event == abi::UffdEvent::kUnmap ? UserFaultEvent::Kind::kUnmap
                                                           : UserFaultEvent::Kind::kRemove;
      event.start = message.remove.start;
      event.end = message.remove.end;
      return event;
    case abi::UffdEvent::kRemap:
      event.kind = UserFaultEvent::Kind::kRemap;
      event.start = message.remap.from;
      event.end = message.remap.from + message.remap.length;
      event.target = message.remap.to;
      return event;
    case abi::UffdEvent::kFork:
      break;
  }
  PanicOperands(__FILE__, __LINE__, "userfaultfd sent an event that was not requested",
                static_cast<uint64_t>(message.event), 0);
}

}  // namespace

// `answer` is the kernel's signed last member: bytes done, or a negative errno.
PortResult LinuxUserFault::ResultOf(int status, int64_t answer, uint64_t length) {
  if (status == 0) return {PortOutcome::kDone, length};
  const std::optional<PortOutcome> outcome = OutcomeOf(errno);
  // The caller keeps what it has, and what cannot be kept then is a check of the caller.
  if (!outcome && unknown_errnos_ != nullptr) unknown_errnos_->Add();
  return {outcome.value_or(PortOutcome::kRefused), answer > 0 ? static_cast<uint64_t>(answer) : 0};
}

Result<void> LinuxUserFault::Open(Events events) {
  UZ_CHECK(!open());
  const int user_mode_only = events == Events::kSignal ? abi::kUffdUserModeOnly : 0;
  const Result<int> opened = OpenUserfaultfd(O_CLOEXEC | O_NONBLOCK | user_mode_only);
  if (!opened.ok()) return opened.error();
  const int descriptor = opened.value();
  abi::UffdioApi api{};
  api.api = abi::kUffdApi;
  api.features = abi::kUffdFeatureMove;
  if (events == Events::kAll) {
    api.features |= abi::kUffdFeatureEventRemap | abi::kUffdFeatureEventRemove |
                    abi::kUffdFeatureEventUnmap | abi::kUffdFeatureThreadId;
  } else {
    api.features |= abi::kUffdFeatureSigbus;
  }
  if (Ioctl(descriptor, abi::kUffdioApi, &api) != 0) {
    const int error = errno == EINVAL ? EOPNOTSUPP : errno;
    syscall(SYS_close, descriptor);
    return Error{error, "userfaultfd with UFFDIO_MOVE (Linux 6.8)"};
  }
  // See os/program_tether.h. Where there is no room it stays where it is.
  const long moved = syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, kUserfaultfdMin);
  if (moved >= 0) syscall(SYS_close, descriptor);
  descriptor_ = moved >= 0 ? static_cast<int>(moved) : descriptor;
  mode_ = 0;  // a forked child's copy may be from a moment when wakes were held
  return {};
}

void LinuxUserFault::Close() {
  if (descriptor_ >= 0) syscall(SYS_close, descriptor_);
  descriptor_ = -1;
}

size_t LinuxUserFault::Read(std::span<UserFaultEvent> events) {
  abi::UffdMessage messages[kMessagesPerRead];
  const size_t room = events.size() < kMessagesPerRead ? events.size() : kMessagesPerRead;
  const long got = syscall(SYS_read, descriptor_, messages, room * sizeof(messages[0]));
  if (got < 0) {
    UZ_CHECK(errno == EAGAIN || errno == EINTR);
    return 0;
  }
  const size_t count = static_cast<size_t>(got) / sizeof(messages[0]);
  for (size_t i = 0; i < count; ++i) events[i] = Translate(messages[i]);
  return count;
}

void LinuxUserFault::WaitReadable(int timeout_ms) {
  pollfd poll_descriptor{descriptor_, POLLIN, 0};
  timespec timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
  // An interrupted sleep needs no retry: the caller reads and sleeps again.
  syscall(SYS_ppoll, &poll_descriptor, 1, timeout_ms < 0 ? nullptr : &timeout, nullptr, 0);
}

PortResult LinuxUserFault::Move(uint64_t destination, uint64_t source, uint64_t length) {
  abi::UffdioMove move{destination, source, length, mode_, 0};
  const int status = Ioctl(descriptor_, abi::kUffdioMove, &move);
  return ResultOf(status, move.moved, length);
}

PortResult LinuxUserFault::MoveFromExecutable(uint64_t destination, uint64_t source,
                                              uint64_t length) {
  constexpr int kUsual = PROT_READ | PROT_WRITE;
  if (syscall(SYS_mprotect, destination, length, kUsual | PROT_EXEC) != 0) {
    return {PortOutcome::kRefused, 0};
  }
  const PortResult result = Move(destination, source, length);
  // Where it stays executable, pages of other mappings are refused there: nothing worse.
  syscall(SYS_mprotect, destination, length, kUsual);
  return result;
}

PortResult LinuxUserFault::Copy(uint64_t destination, const void* source, uint64_t length) {
  abi::UffdioCopy copy{destination, reinterpret_cast<uint64_t>(source), length, mode_, 0};
  const int status = Ioctl(descriptor_, abi::kUffdioCopy, &copy);
  return ResultOf(status, copy.copied, length);
}

PortResult LinuxUserFault::Zero(uint64_t destination) {
  abi::UffdioZeropage zero{{destination, kPageSize}, mode_, 0};
  const int status = Ioctl(descriptor_, abi::kUffdioZeropage, &zero);
  return ResultOf(status, zero.zeroed, kPageSize);
}

PortResult LinuxUserFault::Poison(uint64_t destination) {
  abi::UffdioPoison poison{{destination, kPageSize}, mode_, 0};
  const int status = Ioctl(descriptor_, abi::kUffdioPoison, &poison);
  return ResultOf(status, poison.updated, kPageSize);
}

void LinuxUserFault::HoldWakes(bool held) {
  constexpr uint64_t kMode = abi::kUffdCopyModeDontWake;
  static_assert(kMode == abi::kUffdZeropageModeDontWake && kMode == abi::kUffdMoveModeDontWake &&
                kMode == abi::kUffdPoisonModeDontWake);
  mode_ = held ? kMode : 0;
}

void LinuxUserFault::Wake(uint64_t start, uint64_t length) {
  if (mode_ != 0) return;
  abi::UffdioRange range{start, length};
  // Failure is ignored: if the mapping is gone, no thread waits there.
  Ioctl(descriptor_, abi::kUffdioWake, &range);
}

Result<void> LinuxUserFault::Register(uint64_t start, uint64_t length) {
  abi::UffdioRegister registration{{start, length}, abi::kUffdRegisterModeMissing, 0};
  if (Ioctl(descriptor_, abi::kUffdioRegister, &registration) != 0) {
    return Error{errno, "registering a mapping with userfaultfd"};
  }
  return {};
}

}  // namespace uzswap::os
