#include "os/signal_action.h"

#include <sys/ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace uzswap::os {
namespace {

BusErrorHandler g_handler = nullptr;
struct sigaction g_before {};
std::atomic<bool> g_reset{false};  // a handler with SA_RESETHAND was called

// False: no instruction of this thread caused the signal.
bool IsRepeated(const siginfo_t& information) {
  return information.si_code > 0 && information.si_code != BUS_MCEERR_AO;
}

// Returning from the handler repeats the instruction that caused the signal, which then has the
// default action. A signal that was sent is sent again.
void EndByDefault(const siginfo_t* information) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &action, nullptr);
  if (!IsRepeated(*information)) raise(SIGBUS);
}

void PassOn(int number, siginfo_t* information, void* context) {
  if ((g_before.sa_flags & static_cast<int>(SA_RESETHAND)) != 0 && g_reset.exchange(true)) {
    return EndByDefault(information);
  }
  if ((g_before.sa_flags & SA_SIGINFO) != 0 && g_before.sa_sigaction != nullptr) {
    g_before.sa_sigaction(number, information, context);
  } else if (g_before.sa_handler == SIG_IGN && !IsRepeated(*information)) {
    return;
  } else if (g_before.sa_handler == SIG_DFL || g_before.sa_handler == SIG_IGN) {
    EndByDefault(information);
  } else {
    g_before.sa_handler(number);
  }
}

void OnSignal(int number, siginfo_t* information, void* context) {
  const int program_errno = errno;
  if (!g_handler(information, context)) {
    // The handler of the program runs with the signals blocked that it would have had blocked.
    pthread_sigmask(SIG_SETMASK, &static_cast<const ucontext_t*>(context)->uc_sigmask, nullptr);
    sigset_t blocked = g_before.sa_mask;
    if ((g_before.sa_flags & SA_NODEFER) == 0) sigaddset(&blocked, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    PassOn(number, information, context);
  }
  errno = program_errno;
}

bool IsWrite(const void* context) {
#if defined(__x86_64__)
  constexpr greg_t kWriteBit = 2;  // of the error code of a page fault
  return (static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & kWriteBit) != 0;
#else
  static_cast<void>(context);
  return true;
#endif
}

}  // namespace

BusError ReadBusError(const void* information, const void* context) {
  const auto* signal = static_cast<const siginfo_t*>(information);
  if (signal->si_signo != SIGBUS) return {};
  return {.address = reinterpret_cast<uint64_t>(signal->si_addr),
          .missing = signal->si_code == BUS_ADRERR,
          .write = IsWrite(context)};
}

// Not on the alternate stack, which programs make just large enough for a message.
Result<void> InstallBusErrorHandler(BusErrorHandler handler) {
  g_handler = handler;
  struct sigaction action {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  // Before the handler can be called.
  if (sigaction(SIGBUS, nullptr, &g_before) != 0) return Error{errno, "the handler of SIGBUS"};
  if (sigaction(SIGBUS, &action, nullptr) != 0) return Error{errno, "a handler of SIGBUS"};
  return {};
}

}  // namespace uzswap::os
