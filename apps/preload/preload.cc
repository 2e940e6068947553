// The preload library: starts the engine inside a program, before the program.
//
// Loaded by LD_PRELOAD; exports no symbol. It is linked with -z initfirst, so its constructor runs
// before the constructors of all other libraries. Its fork handlers are therefore the last to
// prepare and the first to run in the child. It does nothing if the environment has neither a
// session nor a limit.
#include <pthread.h>
#include <sys/resource.h>

#include <cstring>
#include <new>
#include <utility>

#include "engine/engine.h"
#ifdef UZSWAP_FREESTANDING
#include "freestanding/freestanding.h"
#endif
#include "os/program_stderr.h"
#include "os/text_line.h"

namespace {

using uzswap::Engine;

// Never destroyed: threads of the engine use it until the process has ended.
alignas(Engine) std::byte g_engine_memory[sizeof(Engine)];
Engine* g_engine = nullptr;

void Prepare() { g_engine->PrepareFork(); }
void Parent() { g_engine->ParentAfterFork(); }
void Child() { g_engine->ChildAfterFork(); }

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
  if (!uzswap::FindVariable(environment, uzswap::kSessionVariable) &&
      !uzswap::FindVariable(environment, uzswap::kLimitVariable)) {
    return;
  }
  uzswap::Result<uzswap::Session> session = uzswap::Session::FromEnvironment(environment);
  if (!session.ok()) {
    ReportNoSession(session.error());
    return;
  }

  const char* name = argument_count > 0 && arguments[0] != nullptr ? arguments[0] : "?";
  if (const char* slash = strrchr(name, '/')) name = slash + 1;
  g_engine = new (g_engine_memory) Engine;
  uzswap::SetPanicHook(LastWords);
  const uzswap::Result<void> started =
      g_engine->Start(std::move(session).value(), name, DefaultStackBytes());
  // Without a daemon nothing is managed, and a fork has nothing to hold still.
  if (!started.ok()) {
    g_engine->RunUnwatched("the engine cannot start", started.error());
    return;
  }
  pthread_atfork(Prepare, Parent, Child);
}

}  // namespace
