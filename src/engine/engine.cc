#include "engine/engine.h"

#include <cerrno>
#include <utility>

#include "os/program.h"
#include "os/program_stderr.h"
#include "os/thread.h"

namespace uzswap {
namespace {

constexpr char kDaemonName[] = "uzswap-reclaim";
// How long the end of a program may take, from the release of its memory on.
constexpr uint64_t kEndingNs = 10'000'000'000;

}  // namespace

Result<void> Engine::Start(Session session, const Program& program) {
  notices_.Init(member_, os::TryWriteToProgramStderr);
  scanner_.SetDefaultStackBytes(program.default_stack_bytes);
  growth_port_.SetDefaultStackBytes(program.default_stack_bytes);
  os::NoteProgram();
  Result<void> done = member_.Join(std::move(session), program.name);
  if (!done.ok()) return done;
  member_.AwaitFormerImage(WatermarksFor(member_.session().limit()).adopt);
  broker_.Start(member_);
  done = fork_roots_.Find();
  if (!done.ok()) return done;
  Wire(program.arena);
  room_.NoteStart();
  return StartDaemonIfRoom(EngineRoom::kShareOfPrograms, os::kKeepNothing);
}

Result<void> Engine::StartDaemon(const os::KeptDescriptors& keep) {
  // Until the daemon runs nobody looks at what the program takes.
  const os::RealTimeScope at_once(!forked_ || IsContended());
  const bool beside = member_.session().options().engine == EngineHome::kSibling;
  if (beside) {
    const Result<uint32_t> started =
        os::StartServiceThread(DaemonMain, this, os::ServiceHome::kSibling, kDaemonName, keep);
    if (started.ok()) {
      member_.SetEngine(started.value());
      return {};
    }
    member_.statistics().sibling_refusals.Add();
  }
  const Result<uint32_t> started =
      os::StartServiceThread(DaemonMain, this, os::ServiceHome::kProgram, kDaemonName, keep);
  if (!started.ok()) return started.error();
  return {};
}

Result<void> Engine::StartDaemonIfRoom(uint64_t share, const os::KeptDescriptors& keep) {
  Result<void> started = Error{EAGAIN, "the limit on tasks leaves no room for its engine"};
  if (room_.Fits(member_.session(), share)) {
    started = StartDaemon(keep);
  } else {
    member_.statistics().engines_left_out.Add();
  }
  if (!started.ok()) member_.NoteWithoutEngine();
  return started;
}

bool Engine::IsContended() { return member_.session().IsContended(os::MonotonicNanoseconds()); }

void Engine::LastWords(std::string_view line) {
  notices_.LastWords(line);
  os::KillProgram();
}

void Engine::Wire(Bytes arena) {
  const Watermarks watermarks = WatermarksFor(member_.session().options().limit);
  paging_.Init({.member = &member_,
                .notices = &notices_,
                .waker = &waker_,
                .meter = &meter_,
                .growth = &growth_,
                .tasks = &scanner_.tasks(),
                .broker = &broker_,
                .arena = arena},
               watermarks);
  meter_.Init(readers_, member_, paging_.headroom(), watermarks);
  reclaim_port_.Init({.member = &member_,
                      .notices = &notices_,
                      .paging = &paging_,
                      .meter = &meter_,
                      .scanner = &scanner_});
  growth_port_.Init(
      {.member = &member_, .paging = &paging_, .readers = &readers_, .meter = &meter_});
  growth_.Init(growth_port_);
  daemon_.Init(reclaim_port_, paging_.headroom(), watermarks);
  fork_port_.Init({.member = &member_,
                   .paging = &paging_,
                   .scanner = &scanner_,
                   .urgency = &urgency_,
                   .waker = &waker_,
                   .watch = &watch_,
                   .broker = &broker_,
                   .reclaim = &reclaim_port_});
  fork_.Init(fork_port_, fork_roots_);
}

// The daemon of a new process and of a forked child alike: its descriptor table is empty.
void Engine::DaemonMain(void* self) {
  auto* engine = static_cast<Engine*>(self);
  engine->watch_.Open();
  engine->urgency_.Begin(engine->forked_ && !engine->IsContended());
  const Result<void> opened = engine->OpenProc();
  if (!opened.ok()) {
    // Or the program has ended, or is just ending.
    if (engine->watch_.GoneSoon(kEndingNs)) os::EndProcess();
    engine->RunUnwatched("/proc cannot be read", opened.error(), engine->paging_.AdoptForChild());
    engine->ServeForksOnly();
  }
  if (engine->forked_) engine->BecomeChild();
  engine->fork_.NoteDaemonReady();
  while (true) {
    engine->fork_.Serve();
    const ReclaimDaemon::Step step = engine->daemon_.Run();
    engine->ChooseUrgency(step);
    engine->growth_.Expect(step.pause_ns);
    if (step.pause_ns != 0) engine->waker_.Sleep(step.pause_ns, engine->watch_);
    engine->EndWithProgram();
  }
}

void Engine::ChooseUrgency(const ReclaimDaemon::Step& step) {
  const uint64_t now = os::MonotonicNanoseconds();
  Session& session = member_.session();
  // From time to time: all processes of the tree read the word.
  const auto tree_time = [this] { return member_.TreeProcessorNs(); };
  if (contention_.Sample(now, tree_time) && !session.IsContended(now + Contention::kHoldNs / 2)) {
    session.NoteContended(now + Contention::kHoldNs);
  }
  const bool contended = session.IsContended(now);
  urgency_.NoteStep({.active = paging_.active(),
                     .over_limit = step.over_limit,
                     .contended = contended,
                     .pause_ns = step.pause_ns,
                     .now_ns = now});
  if (paging_.active()) paging_.SetPagerUrgency(contended);
}

void Engine::RunUnwatched(const char* what, Error error, os::InheritedFiles files) {
  if (paging_.active()) {
    if (!forked_) GiveUp(what, error);
    const Result<void> restored = paging_.RestoreInChild(std::move(files));
    if (!restored.ok()) GiveUp(restored.error().what, error);
  }
  forked_ = false;
  notices_.Unwatched(error);
}

// Its children may have what it lacks.
void Engine::ServeForksOnly() {
  constexpr uint64_t kPauseNs = 1'000'000'000;  // requests wake it
  fork_.NoteDaemonReady();
  while (true) {
    fork_.Serve();
    waker_.Sleep(kPauseNs, watch_);
    EndWithProgram();
  }
}

void Engine::EndWithProgram() {
  if (!watch_.Gone()) return;
  broker_.Unguard();
  os::EndProcess();
}

// All of /proc now: later the program may have changed its root or given up its rights.
Result<void> Engine::OpenProc() {
  Result<void> opened = readers_.Open();
  if (!opened.ok()) return opened;
  opened = paging_.OpenProc();
  if (!opened.ok()) return opened;
  contention_.Open();
  opened = growth_port_.Open();
  if (!opened.ok()) return opened;
  return scanner_.Open();
}

void Engine::BecomeChild() {
  if (paging_.active()) {
    reclaim_port_.ResetInChild();
    fork_port_.ResetInChild();
    const Result<void> done = paging_.BecomeChild();
    if (!done.ok()) {
      RunUnwatched("a forked child cannot be served", done.error(), paging_.AdoptForChild());
      ServeForksOnly();
    }
  }
  forked_ = false;
}

void Engine::GiveUp(const char* what, Error error) {
  PanicOperands(__FILE__, __LINE__, what, static_cast<uint64_t>(error.errno_value), 0);
}

void Engine::PrepareFork() {
  if (!no_daemon_) fork_.Prepare();
}

void Engine::ParentAfterFork() {
  if (no_daemon_) return;
  member_.statistics().forks.Add();
  meter_.NoteFork();
  paging_.CloseForChild();
  fork_.ParentAfter();
}

void Engine::ChildAfterFork() {
  if (no_daemon_) return;
  forked_ = true;
  os::NoteProgram();
  os::ForgetServiceThreads();
  paging_.ForgetInChild();
  readers_.ForgetInChild();
  scanner_.Forget();
  growth_port_.Forget();
  contention_.Forget();
  growth_.ResetInChild();
  meter_.ResetInChild();
  waker_.ResetInChild();
  watch_.Forget();
  broker_.Forget();
  fork_.ChildAfter();
  member_.JoinAsChild();
  // The daemon changes it if it cannot serve.
  const bool active = paging_.active();
  const Result<void> started =
      StartDaemonIfRoom(EngineRoom::kShareOfChildren, paging_.descriptors_for_child());
  if (!started.ok()) {
    no_daemon_ = true;
    RunUnwatched("a forked child cannot be served", started.error(), paging_.TakeForChild());
    return;
  }
  // Before the daemon is ready the child must not touch anything that is registered.
  if (active) fork_.AwaitDaemon();
  paging_.CloseForChild();
}

}  // namespace uzswap
