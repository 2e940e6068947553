// The preload library: starts the engine inside a program, before the program.
//
// Loaded by LD_PRELOAD; exports only the calls that start programs (exec_calls.h), that make
// children without fork handlers (fork_calls.h), for limits of resources (limit_calls.h), and
// mremap (remap_calls.h). It is linked with -z initfirst, so its constructor runs before the
// constructors of all other libraries. Its fork handlers are therefore the last to prepare and the
// first to run in the child. It does nothing if the environment has neither a session nor a limit.
#include <sys/resource.h>

#include <cstring>
#include <new>
#include <utility>

#include "engine/broker_files.h"
#include "engine/engine.h"
#include "exec_calls.h"
#include "fork_calls.h"
#ifdef UZSWAP_FREESTANDING
#include "freestanding/freestanding.h"
#endif
#include "limit_calls.h"
#include "loaded_libraries.h"
#include "os/program_stderr.h"
#include "os/text_line.h"
#include "remap_calls.h"
#include "unmanaged.h"

namespace {

using uzswap::Engine;

// Never destroyed: threads of the engine use it until the process has ended.
alignas(Engine) std::byte g_engine_memory[sizeof(Engine)];
Engine* g_engine = nullptr;
// Of a process without an engine.
alignas(uzswap::Session) std::byte g_session_memory[sizeof(uzswap::Session)];

void LastWords(const char* line, uint64_t length) { g_engine->LastWords({line, length}); }

// There is no session that could carry the line to the runner. The program runs as without uzswap.
void ReportNoSession(uzswap::Error error) {
  uzswap::os::TextLine<256> line;
  line.Text("uzswap: this program runs without uzswap and its memory is not limited: ");
  line.Text(error.what);
  if (error.errno_value != 0) {
    line.Text(" (errno ").Decimal(static_cast<uint64_t>(error.errno_value)).Text(")");
  }
  line.Text("\n  fix: give it /proc and the user of `uzswap run`, or unset LD_PRELOAD for it\n");
  uzswap::os::WriteToProgramStderr(line.view());
}

// Sanitizers and valgrind follow every thread of the process, and their own memory is a reservation
// of terabytes. The engine's threads and userfaultfd do not fit in.
void StayOut(uzswap::Session session, const char* name, const char* tool, char** environment) {
  auto* kept = new (g_session_memory) uzswap::Session(std::move(session));
  uzswap::os::TextLine<64> cause;
  cause.Text("is run with ").Text(tool);
  uzswap::ReportUnmanaged(*kept, name, {cause.c_str(), "run it without that tool"});
  uzswap::FollowExec(*kept, environment);
}

uint64_t DefaultStackBytes() {
  constexpr uint64_t kUsual = 8 << 20;
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUsual;
  return limit.rlim_cur;
}

__attribute__((constructor)) void StartEngine(int argument_count, char** arguments,
                                              char** environment) {
#ifdef UZSWAP_FREESTANDING
  uzswap::freestanding::UseVdso(environment);
#endif
  uzswap::FindExecFunctions();
  uzswap::FindForkFunctions();
  uzswap::FindLimitFunctions();
  uzswap::FindRemapFunctions();
  if (!uzswap::FindVariable(environment, uzswap::kSessionVariable) &&
      !uzswap::FindVariable(environment, uzswap::kLimitVariable)) {
    return;
  }
  uzswap::Result<uzswap::Session> session =
      uzswap::Session::FromEnvironment(environment, uzswap::JoinByBroker);
  if (!session.ok()) {
    ReportNoSession(session.error());
    return;
  }

  const char* name = argument_count > 0 && arguments[0] != nullptr ? arguments[0] : "?";
  if (const char* slash = strrchr(name, '/')) name = slash + 1;
  if (const char* tool = uzswap::FindInstrumentation()) {
    StayOut(std::move(session).value(), name, tool, environment);
    return;
  }
  // Read once: the limit can be changed at any time.
  const uzswap::Bytes arena = uzswap::ExtendLimits(session.value().limit());
  g_engine = new (g_engine_memory) Engine;
  uzswap::SetPanicHook(LastWords);
  const uzswap::Result<void> started =
      g_engine->Start(std::move(session).value(), {name, DefaultStackBytes(), arena});
  uzswap::FollowExec(g_engine->member().session(), environment);
  // Without a daemon nothing is managed, and a fork has nothing to hold still.
  if (!started.ok()) {
    g_engine->RunUnwatched("the engine cannot start", started.error());
    return;
  }
  uzswap::FollowForks(*g_engine);
  uzswap::FollowRemaps();
}

}  // namespace
