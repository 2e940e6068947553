// churn: a stress test of the pager. Several threads use memory in every way that a program may,
// and check every byte. Under `uzswap run` it must behave as without.
//
//   churn [--seconds S | --operations N] [--threads N] [--memory SIZE] [--seed N]
//         [--random-percent P] [--children N] [--hang-seconds S] [--folder DIR]
//         [--only OP,OP...] [--without OP,OP...] [--verbose]
//
// It prints its seed, and "ok N ops" with status 0. On a wrong byte it prints where, what the
// page should hold and whose content it holds, with the history of the page, and exits with 1.
// If no operation ends within the hang time, it prints what each thread does and aborts: this is
// the deadline of every wait in the churn. With the same seed each thread draws the same
// operations; their interleaving depends on the machine. --sabotage changes pages and does not
// report it to the model: the churn must find them. With CHURN_ABORT in the environment every
// failure aborts, for a core dump.
#include <getopt.h>
#include <time.h>
#include <unistd.h>

#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "system/churn/history.h"
#include "system/churn/worker.h"

namespace uzswap::churn {
namespace {

size_t ParseSize(const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  switch (*end) {
    case 'K':
      return static_cast<size_t>(value * 1024);
    case 'M':
      return static_cast<size_t>(value * 1024 * 1024);
    case 'G':
      return static_cast<size_t>(value * 1024 * 1024 * 1024);
    default:
      return static_cast<size_t>(value);
  }
}

[[noreturn]] void Usage() {
  std::fprintf(stderr,
               "usage: churn [--seconds S | --operations N] [--threads N] [--memory SIZE]\n"
               "             [--seed N] [--random-percent P] [--children N] [--hang-seconds S]\n"
               "             [--folder DIR] [--only OP,...] [--without OP,...] [--verbose]\n"
               "operations:");
  for (const char* name : OperationNames()) std::fprintf(stderr, " %s", name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}

void Apply(int option, const char* value, Options& options) {
  const auto number = [value] { return std::strtoull(value, nullptr, 0); };
  switch (option) {
    case 's':
      options.seconds = std::strtod(value, nullptr);
      return;
    case 'o':
      options.operations = number();
      return;
    case 't':
      options.threads = static_cast<uint32_t>(number());
      return;
    case 'm':
      options.memory = ParseSize(value);
      return;
    case 'S':
      options.seed = number();
      return;
    case 'r':
      options.random_percent = static_cast<unsigned>(number());
      return;
    case 'c':
      options.children = static_cast<unsigned>(number());
      return;
    case 'h':
      options.hang_seconds = static_cast<unsigned>(number());
      return;
    case 'f':
      options.folder = value;
      return;
    case 'O':
      options.only = value;
      return;
    case 'w':
      options.without = value;
      return;
    case 'v':
      options.verbose = true;
      return;
    case 'x':
      options.sabotage = true;
      return;
    default:
      Usage();
  }
}

Options ParseOptions(int argc, char** argv) {
  static const option kLong[] = {
      {"seconds", required_argument, nullptr, 's'},
      {"operations", required_argument, nullptr, 'o'},
      {"threads", required_argument, nullptr, 't'},
      {"memory", required_argument, nullptr, 'm'},
      {"seed", required_argument, nullptr, 'S'},
      {"random-percent", required_argument, nullptr, 'r'},
      {"children", required_argument, nullptr, 'c'},
      {"hang-seconds", required_argument, nullptr, 'h'},
      {"folder", required_argument, nullptr, 'f'},
      {"only", required_argument, nullptr, 'O'},
      {"without", required_argument, nullptr, 'w'},
      {"verbose", no_argument, nullptr, 'v'},
      {"sabotage", no_argument, nullptr, 'x'},
      {nullptr, 0, nullptr, 0},
  };
  Options options;
  while (true) {
    const int option = getopt_long(argc, argv, "", kLong, nullptr);
    if (option < 0) break;
    Apply(option, optarg, options);
  }
  if (optind != argc || options.threads == 0 || options.threads >= kThreadsMax) Usage();
  if (options.memory < (size_t{1} << 20)) Usage();
  return options;
}

double NowSeconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

uint64_t TotalOperations(const Options& options) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < options.threads; ++i) total += HistoryOf(i).operations.load();
  return total;
}

[[noreturn]] void ReportHang(const Options& options) {
  for (uint32_t i = 0; i < options.threads; ++i) {
    const char* doing = HistoryOf(i).in_progress.load();
    std::fprintf(stderr, "churn: thread %u is in: %s\n", i, doing == nullptr ? "-" : doing);
  }
  std::fprintf(stderr, "churn: HANG: no operation ended for %u s (seed %" PRIu64 ")\n",
               options.hang_seconds, options.seed);
  std::abort();
}

// Stops the threads when the time is over, and aborts if they make no progress until then.
class Watchdog {
 public:
  explicit Watchdog(World& world) : world_(world), thread_([this] { Watch(); }) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    {
      std::lock_guard guard(lock_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void Watch() {
    const Options& options = world_.options;
    const double start = NowSeconds();
    double last_progress = start;
    uint64_t last_total = 0;
    std::unique_lock guard(lock_);
    while (!changed_.wait_for(guard, std::chrono::milliseconds(50), [this] { return done_; })) {
      const double now = NowSeconds();
      if (options.operations == 0 && now - start > options.seconds) world_.stop.store(true);
      const uint64_t total = TotalOperations(options);
      if (total != last_total) last_progress = now;
      last_total = total;
      if (now - last_progress > options.hang_seconds) ReportHang(options);
    }
  }

  World& world_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;  // last: it uses all of the above
};

void PrintCounts(const World& world) {
  const std::vector<const char*> names = OperationNames();
  for (size_t i = 0; i < names.size(); ++i) {
    uint64_t count = 0;
    for (const auto& worker : world.workers) count += worker->counts()[i];
    std::printf("  %-12s %10" PRIu64 "\n", names[i], count);
  }
  const Transfer& transfer = world.workers[0]->transfer();
  std::printf("  declined by the kernel: %" PRIu64 "%s%s\n", Declined(),
              transfer.has_direct() ? "" : ", no O_DIRECT here",
              transfer.has_ring() ? "" : ", no io_uring here");
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  char banner[256];
  std::snprintf(banner, sizeof(banner),
                "--seed %" PRIu64 " --threads %u --memory %zuK --random-percent %u", options.seed,
                options.threads, options.memory >> 10, options.random_percent);
  std::printf("churn %s\n", banner);
  std::fflush(stdout);
  SetBanner(banner);
  SetPatternSeed(options.seed, options.random_percent);
  CreateHistory();

  World world(options);
  InstallBarrierHandler();
  InstallSignalHandler(world);
  for (uint32_t i = 0; i < options.threads; ++i) {
    world.workers.push_back(std::make_unique<Worker>(world, i));
  }
  {
    Watchdog watchdog(world);
    // A worker signals its siblings: all of them must exist first.
    for (const auto& worker : world.workers) worker->lock().lock();
    for (const auto& worker : world.workers) worker->Start();
    for (const auto& worker : world.workers) worker->lock().unlock();
    for (const auto& worker : world.workers) worker->Join();
  }
  uint64_t added = 0;
  for (const auto& worker : world.workers) {
    worker->VerifyEverything("the last check");
    added += worker->added();
  }
  for (const auto& piece : world.breaks) piece->VerifyAll("the last check");
  world.quiet.VerifyAll("the last check");
  world.sums.Check(added);
  if (options.verbose) PrintCounts(world);
  std::printf("ok %" PRIu64 " ops\n", TotalOperations(options));
  return 0;
}

}  // namespace
}  // namespace uzswap::churn

int main(int argc, char** argv) { return uzswap::churn::Main(argc, argv); }
