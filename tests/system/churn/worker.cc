#include "system/churn/worker.h"

#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "system/churn/history.h"

extern char** environ;

namespace uzswap::churn {
namespace {

constexpr uint32_t kRegionsPerWorker = 4;
constexpr size_t kSignalStackBytes = size_t{64} << 10;
constexpr uint32_t kQuietPages = 128;

World* g_world = nullptr;
std::atomic<uint32_t> g_quiet_next{0};

// Runs on any thread during any operation, on a stack that lies in the heap.
void OnSignal(int) {
  const int saved = errno;
  const uint32_t page = g_quiet_next.fetch_add(7, std::memory_order_relaxed) % kQuietPages;
  g_world->quiet.Verify({page, 1}, "a signal handler");
  errno = saved;
}

// True if the comma-separated list names it.
bool Lists(const std::string& list, const char* name) {
  return ("," + list + ",").find("," + std::string(name) + ",") != std::string::npos;
}

int WaitFor(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) FailCall("waitpid");
  }
  return status;
}

}  // namespace

SharedSums::SharedSums() {
  void* memory = mmap(nullptr, kPages * kPageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) FailCall("mmap of the sums");
  words_ = static_cast<std::atomic<uint64_t>*>(memory);
}

void SharedSums::Add(Rng& rng) {
  words_[rng.Below(kPages) * kPageWords + rng.Below(kPageWords)].fetch_add(
      1, std::memory_order_relaxed);
}

void SharedSums::Check(uint64_t total) const {
  uint64_t sum = 0;
  for (size_t i = 0; i < kPages * kPageWords; ++i) sum += words_[i].load();
  if (sum != total) Fail("shared sums: %lu additions made, %lu found", total, sum);
}

World::World(const Options& given)
    : options(given), rng(given.seed ^ 0xb0b), quiet(0, kQuietPages, rng) {
  quiet.Write({0, kQuietPages});
}

void InstallSignalHandler(World& world) {
  g_world = &world;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  if (sigaction(SIGUSR1, &action, nullptr) != 0) FailCall("sigaction");
}

// The operations: the name for the command line and the count, the weight, and the function.
// An operation with stops_world runs while every other worker is between two operations.
struct Catalogue {
  struct Entry {
    const char* name;
    unsigned weight;
    void (*run)(Worker&);
    bool stops_world = false;
  };

  static void OnRange(Worker& w, uint32_t pages_max, void (Region::*operation)(Range)) {
    Region& region = w.AnyRegion();
    (region.*operation)(region.RandomRange(pages_max));
  }
  static void OnTransfer(Worker& w, void (Transfer::*operation)(Region&, Range)) {
    Region& region = w.AnyRegion();
    (w.transfer_.*operation)(region, region.RandomRange(Transfer::kPagesMax));
  }
  static void OnHeldTransfer(Worker& w,
                             void (Transfer::*operation)(Region&, Range, const Transfer::Work&)) {
    Region& region = w.AnyRegion();
    (w.transfer_.*operation)(region, region.RandomRange(Transfer::kPagesMax),
                             [&] { w.WorkElsewhere(region); });
  }

  static const std::vector<Entry>& Entries();
};

const std::vector<Catalogue::Entry>& Catalogue::Entries() {
  static const std::vector<Entry> entries = {
      {"write", 60, [](Worker& w) { OnRange(w, 256, &Region::Write); }},
      {"patch", 60, [](Worker& w) { OnRange(w, 128, &Region::Patch); }},
      {"verify", 100,
       [](Worker& w) {
         Region& region = w.AnyRegion();
         region.Verify(region.RandomRange(256), "reading");
       }},
      {"scan", 3, [](Worker& w) { w.AnyRegion().VerifyAll("a scan"); }},
      {"heap", 60, [](Worker& w) { w.bag_.Step(); }},
      {"heapread", 60, [](Worker& w) { w.bag_.VerifySome(32); }},
      {"sums", 60,
       [](Worker& w) {
         for (int i = 0; i < 64; ++i) w.world_.sums.Add(w.rng_);
         w.added_ += 64;
       }},
      {"quiet", 30,
       [](Worker& w) { w.world_.quiet.Verify(w.world_.quiet.RandomRange(1), "reading shared"); }},
      {"dontneed", 20, [](Worker& w) { OnRange(w, 64, &Region::DontNeed); }},
      {"free", 5, [](Worker& w) { OnRange(w, 64, &Region::Free); }},
      {"advise", 8, [](Worker& w) { OnRange(w, 128, &Region::Advise); }},
      {"resize", 10, [](Worker& w) { w.Resize(); }},
      {"move", 6, [](Worker& w) { w.AnyRegion().Move(false); }, true},
      {"moveleave", 4, [](Worker& w) { w.AnyRegion().Move(true); }, true},
      {"moveaway", 10, [](Worker& w) { OnRange(w, 64, &Region::MoveAway); }, true},
      {"mapover", 8,
       [](Worker& w) {
         Region& region = w.AnyRegion();
         region.Replace(region.RandomRange(64), false);
       }},
      {"unmapmap", 8,
       [](Worker& w) {
         Region& region = w.AnyRegion();
         region.Replace(region.RandomRange(64), true);
       }},
      {"recreate", 4, [](Worker& w) { w.Recreate(); }},
      {"protectread", 8, [](Worker& w) { OnRange(w, 64, &Region::ProtectRead); }},
      {"protectnone", 8, [](Worker& w) { OnRange(w, 64, &Region::ProtectNone); }},
      {"barrier", 6, [](Worker& w) { OnRange(w, 16, &Region::Barrier); }},
      {"lock", 4, [](Worker& w) { OnRange(w, 16, &Region::Lock); }},
      {"forkmode", 2,
       [](Worker& w) {
         w.AnyRegion().SetForkMode(w.rng_.OneIn(2)   ? ForkMode::kCopy
                                   : w.rng_.OneIn(2) ? ForkMode::kWipe
                                                     : ForkMode::kAbsent);
       }},
      {"pipe", 15, [](Worker& w) { OnTransfer(w, &Transfer::PipeRoundTrip); }},
      {"vmsplice", 6, [](Worker& w) { OnHeldTransfer(w, &Transfer::SplicedPipe); }},
      {"file", 15, [](Worker& w) { OnTransfer(w, &Transfer::FileRoundTrip); }},
      {"direct", 6,
       [](Worker& w) {
         if (w.transfer_.has_direct()) OnTransfer(w, &Transfer::DirectRead);
       }},
      {"ring", 10,
       [](Worker& w) {
         if (w.transfer_.has_ring()) OnHeldTransfer(w, &Transfer::RingRead);
       }},
      {"registered", 6,
       [](Worker& w) {
         if (w.transfer_.has_ring()) OnHeldTransfer(w, &Transfer::RegisteredRead);
       }},
      {"processread", 6, [](Worker& w) { OnTransfer(w, &Transfer::ReadOwnProcess); }},
      {"futex", 10, [](Worker& w) { OnTransfer(w, &Transfer::FutexPeek); }},
      {"signal", 40, [](Worker& w) { w.SignalSibling(); }},
      {"thread", 4, [](Worker& w) { w.SpawnThread(); }},
      {"spawn", 1, [](Worker& w) { w.SpawnProcess(); }},
      {"fork", 2, [](Worker& w) { w.Fork(false); }},
      {"forkall", 1, [](Worker& w) { w.Fork(true); }, true},
      {"brk", 4, [](Worker& w) { w.MoveBreak(); }, true},
  };
  return entries;
}

std::vector<const char*> OperationNames() {
  std::vector<const char*> names;
  for (const Catalogue::Entry& entry : Catalogue::Entries()) names.push_back(entry.name);
  return names;
}

Worker::Worker(World& world, uint32_t index)
    : world_(world),
      index_(index),
      rng_(world.options.seed * 1000 + index),
      bag_(index, world.options.memory / world.options.threads * 3 / 10, rng_),
      transfer_(world.options.folder.c_str(), rng_),
      counts_(Catalogue::Entries().size()),
      signal_stack_(new std::byte[kSignalStackBytes]) {}

uint32_t Worker::PagesTarget() const {
  const size_t bytes = world_.options.memory / world_.options.threads * 7 / 10;
  return static_cast<uint32_t>(std::max<size_t>(bytes / kRegionsPerWorker / kPageBytes, 64));
}

Region& Worker::AnyRegion() { return *regions_[rng_.Below(regions_.size())]; }

void Worker::NewRegion() {
  const auto pages = static_cast<uint32_t>(PagesTarget() / 2 + rng_.Below(PagesTarget()));
  const uint32_t id = world_.next_region.fetch_add(1) & 0xffff;
  regions_.push_back(std::make_unique<Region>(id, pages, rng_));
  if (!rng_.OneIn(4)) regions_.back()->Write({0, pages});
}

void Worker::Start() {
  const int status = pthread_create(
      &thread_, nullptr,
      [](void* self) -> void* {
        static_cast<Worker*>(self)->Run();
        return nullptr;
      },
      this);
  if (status != 0) Fail("pthread_create: %s", strerrordesc_np(status));
}

void Worker::Join() { pthread_join(thread_, nullptr); }

bool Worker::Enough() const {
  if (world_.stop.load(std::memory_order_relaxed)) return true;
  return world_.options.operations != 0 && steps_ >= world_.options.operations;
}

void Worker::Run() {
  SetCurrentThread(index_);
  stack_t stack{};
  stack.ss_sp = signal_stack_.get();
  stack.ss_size = kSignalStackBytes;
  if (sigaltstack(&stack, nullptr) != 0) FailCall("sigaltstack");
  {
    std::lock_guard guard(lock_);
    while (regions_.size() < kRegionsPerWorker) NewRegion();
  }
  while (!Enough()) Step();
  // The stack returns to the heap; no signal may use it any more.
  sigset_t blocked;
  sigfillset(&blocked);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
}

void Worker::Step() {
  const std::vector<Catalogue::Entry>& entries = Catalogue::Entries();
  unsigned total = 0;
  for (const Catalogue::Entry& entry : entries) total += entry.weight;
  uint64_t draw = rng_.Below(total);
  size_t at = 0;
  while (draw >= entries[at].weight) draw -= entries[at++].weight;
  const Catalogue::Entry& entry = entries[at];
  ++steps_;
  const Options& options = world_.options;
  if (!options.only.empty() && !Lists(options.only, entry.name)) return;
  if (Lists(options.without, entry.name)) return;

  ThreadHistory& history = HistoryOf(index_);
  history.in_progress.store(entry.name, std::memory_order_relaxed);
  Hold(entry.stops_world);
  entry.run(*this);
  if (options.sabotage) Sabotage();
  Release();
  history.in_progress.store(nullptr, std::memory_order_relaxed);
  history.operations.fetch_add(1, std::memory_order_relaxed);
  ++counts_[at];
}

void Worker::Hold(bool world) {
  if (!world) {
    own_ = std::unique_lock(lock_);
    return;
  }
  world_lock_ = std::unique_lock(world_.lock);
  for (const auto& worker : world_.workers) {
    std::unique_lock taken(worker->lock_);
    if (worker.get() == this) {
      own_ = std::move(taken);
    } else {
      others_.push_back(std::move(taken));
    }
  }
}

void Worker::ResumeOthers() {
  others_.clear();
  world_lock_ = {};
}

void Worker::Release() {
  ResumeOthers();
  own_ = {};
}

void Worker::WorkElsewhere(const Region& busy) {
  for (int i = 0; i < 3; ++i) {
    Region& other = AnyRegion();
    if (&other == &busy) continue;
    other.Patch(other.RandomRange(32));
    other.Verify(other.RandomRange(64), "reading while the kernel holds other pages");
  }
  bag_.VerifySome(8);
}

void Worker::Sabotage() {
  Region& region = AnyRegion();
  const Range range = region.RandomRange(16);
  for (uint32_t i = 0; i < range.count; ++i) {
    region.At(range.first + i)[rng_.Below(kPageBytes)] ^= std::byte{0x10};
  }
}

void Worker::Resize() {
  Region& region = AnyRegion();
  const uint32_t target = PagesTarget();
  const auto change = static_cast<uint32_t>(1 + rng_.Below(target / 4));
  if (region.pages() > target) {
    region.Shrink(std::min(change, region.pages() - 1));
  } else {
    const uint32_t old = region.pages();
    region.Grow(change);
    if (region.pages() != old) region.Write({old, change});
  }
}

void Worker::Recreate() {
  const size_t at = rng_.Below(regions_.size());
  regions_[at]->Verify(regions_[at]->RandomRange(256), "reading before munmap");
  regions_.erase(regions_.begin() + static_cast<std::ptrdiff_t>(at));
  NewRegion();
}

void Worker::SignalSibling() {
  const uint64_t at = rng_.Below(world_.workers.size());
  // Every thread lives until the last check, so its pthread_t is valid.
  if (const int status = pthread_kill(world_.workers[at]->thread(), SIGUSR1); status != 0) {
    Fail("pthread_kill: %s", strerrordesc_np(status));
  }
}

void Worker::SpawnThread() {
  struct Errand {
    Worker* worker;
    Region* region;
    Range range;
  };
  Region& region = AnyRegion();
  Errand errand{this, &region, region.RandomRange(64)};
  pthread_t helper{};
  const int status = pthread_create(
      &helper, nullptr,
      [](void* given) -> void* {
        const auto* work = static_cast<Errand*>(given);
        SetCurrentThread(work->worker->index_);
        work->region->Verify(work->range, "a helper thread");
        work->region->Patch(work->range);
        HeapBag local(63, 20000, work->worker->rng_);
        local.Step();
        local.VerifyAll("a helper thread");
        return nullptr;
      },
      &errand);
  if (status == EAGAIN) return CountDeclined();
  if (status != 0) Fail("pthread_create: %s", strerrordesc_np(status));
  pthread_join(helper, nullptr);
  region.Verify(errand.range, "reading after a helper thread");
}

void Worker::SpawnProcess() {
  char name[] = "/bin/true";
  char* arguments[] = {name, nullptr};
  pid_t child = 0;
  int status = 0;
  if (rng_.OneIn(2)) {
    status = posix_spawn(&child, name, nullptr, nullptr, arguments, environ);
    if (status == EAGAIN || status == ENOMEM) return CountDeclined();
    if (status != 0) Fail("posix_spawn: %s", strerrordesc_np(status));
  } else {
    child = vfork();
    if (child == 0) {
      execv(name, arguments);
      _exit(127);
    }
    if (child < 0) return CountDeclined();
  }
  status = WaitFor(child);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Fail("/bin/true ended with %x", status);
}

void Worker::VerifyEverything(const char* where) const {
  for (const auto& region : regions_) region->VerifyAll(where);
  bag_.VerifyAll(where);
}

void Worker::VerifyInChild() const {
  for (const auto& region : regions_) region->VerifyInChild();
  bag_.VerifyAll("child after fork");
}

void Worker::ChangeInChild() {
  for (const auto& region : regions_) {
    if (region->fork_mode() != ForkMode::kCopy) continue;
    region->Write(region->RandomRange(64));
    region->Patch(region->RandomRange(64));
    region->DontNeed(region->RandomRange(32));
    region->MoveAway(region->RandomRange(16));
    region->VerifyAll("child after its own changes");
  }
  bag_.Step();
  bag_.VerifyAll("child after its own changes");
}

void Worker::Child(bool everything) {
  Note("child", 0, 0, 0, 0);
  world_.quiet.VerifyAll("child after fork");
  if (everything) {
    for (const auto& worker : world_.workers) worker->VerifyInChild();
    for (const auto& piece : world_.breaks) piece->VerifyAll("child after fork");
  } else {
    VerifyInChild();
  }
  ChangeInChild();
  if (rng_.OneIn(3)) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      for (const auto& region : regions_) {
        if (region->fork_mode() == ForkMode::kCopy) region->VerifyAll("grandchild after fork");
      }
      bag_.VerifyAll("grandchild after fork");
      _exit(0);
    }
    if (grandchild > 0 && WaitFor(grandchild) != 0) _exit(1);
  }
  _exit(0);
}

void Worker::Fork(bool everything) {
  if (world_.children.fetch_add(1) >= world_.options.children) {
    world_.children.fetch_sub(1);
    return;
  }
  Note("fork", 0, 0, 0, 0);
  const pid_t child = fork();
  if (child == 0) Child(everything);
  ResumeOthers();
  // The parent writes while the child reads: copy-on-write in both directions.
  for (int i = 0; i < 4; ++i) {
    Region& region = AnyRegion();
    region.Patch(region.RandomRange(64));
    region.Verify(region.RandomRange(64), "parent after fork");
  }
  Release();
  if (child > 0) {
    const int status = WaitFor(child);
    if (status != 0) Fail("the child %d ended with %x", child, status);
  } else {
    CountDeclined();
  }
  world_.children.fetch_sub(1);
}

void Worker::ShrinkBreak(Region& last) {
  last.VerifyAll("reading behind the break");
  const auto less = static_cast<uint32_t>(1 + world_.rng.Below(last.pages()));
  // malloc may have moved the break since: then it must stay where it is.
  if (sbrk(0) != last.base() + last.pages() * kPageBytes) return;
  Note("shrink break", last.id(), last.pages() - less, less, 0);
  if (sbrk(-static_cast<intptr_t>(less * kPageBytes)) == reinterpret_cast<void*>(-1)) {
    FailCall("sbrk");
  }
  last.Truncate(last.pages() - less);
}

void Worker::GrowBreak() {
  constexpr uint32_t kPiecePagesMax = 256;
  const auto slack = -reinterpret_cast<uintptr_t>(sbrk(0)) % kPageBytes;
  if (slack != 0) sbrk(static_cast<intptr_t>(slack));
  const auto more = static_cast<uint32_t>(1 + world_.rng.Below(kPiecePagesMax));
  void* memory = sbrk(static_cast<intptr_t>(more * kPageBytes));
  if (memory == reinterpret_cast<void*>(-1)) return CountDeclined();
  const uint32_t id = world_.next_region.fetch_add(1) & 0xffff;
  auto piece = std::make_unique<Region>(id, static_cast<std::byte*>(memory), more, world_.rng);
  piece->VerifyAll("reading fresh memory behind the break");
  piece->Write({0, more});
  world_.breaks.push_back(std::move(piece));
}

void Worker::MoveBreak() {
  constexpr size_t kPiecesMax = 16;
  auto& pieces = world_.breaks;
  if (!pieces.empty() && rng_.OneIn(2)) {
    ShrinkBreak(*pieces.back());
    if (pieces.back()->pages() == 0) pieces.pop_back();
  } else if (pieces.size() < kPiecesMax) {
    GrowBreak();
  }
}

}  // namespace uzswap::churn
