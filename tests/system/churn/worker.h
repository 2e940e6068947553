// Worker: one thread of the churn with its own regions, heap blocks and transfers.
//
// World: what the threads share. Each worker holds its own lock during an operation. A thread that
// holds the lock of the world and then the locks of all workers has stopped the world between two
// operations.
#ifndef UZSWAP_TESTS_SYSTEM_CHURN_WORKER_H_
#define UZSWAP_TESTS_SYSTEM_CHURN_WORKER_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/testing/slowness.h"
#include "system/churn/heap_bag.h"
#include "system/churn/region.h"
#include "system/churn/transfer.h"

namespace uzswap::churn {

struct Options {
  uint32_t threads = 4;
  size_t memory = size_t{64} << 20;
  double seconds = 10;
  uint64_t operations = 0;  // per thread; 0: until the time is over
  uint64_t seed = 1;
  unsigned random_percent = 5;
  unsigned children = 2;
  unsigned hang_seconds = Slower(120u);
  std::string folder = "/var/tmp";
  std::string only;     // a comma-separated list of operations, all when empty
  std::string without;  // left out
  bool verbose = false;
  bool sabotage = false;  // changes pages without a report to the model: it must be found
};

class Worker;

// Words that all threads add to: a lost update changes the sum.
class SharedSums {
 public:
  SharedSums();
  void Add(Rng& rng);  // counts into the caller's own total as well
  void Check(uint64_t total) const;
  static constexpr size_t kPages = 256;

 private:
  std::atomic<uint64_t>* words_;
};

struct World {
  explicit World(const Options& given);

  const Options& options;
  std::vector<std::unique_ptr<Worker>> workers;
  std::mutex lock;
  std::atomic<uint32_t> next_region{1};
  std::atomic<unsigned> children{0};
  std::atomic<bool> stop{false};
  SharedSums sums;
  Rng rng;  // for what follows; under `lock`
  // Written once, read by everybody and by signal handlers.
  Region quiet;
  // Pieces of the program break, lowest first. Under the stopped world.
  std::vector<std::unique_ptr<Region>> breaks;
};

class Worker {
 public:
  Worker(World& world, uint32_t index);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Start();
  void Join();
  void VerifyEverything(const char* where) const;
  void VerifyInChild() const;
  // In a child, alone: changes its copies and checks them.
  void ChangeInChild();

  [[nodiscard]] uint64_t added() const { return added_; }
  [[nodiscard]] pthread_t thread() const { return thread_; }
  [[nodiscard]] std::mutex& lock() { return lock_; }
  [[nodiscard]] const std::vector<uint64_t>& counts() const { return counts_; }
  [[nodiscard]] const Transfer& transfer() const { return transfer_; }

 private:
  friend struct Catalogue;

  void Run();
  void Step();
  [[nodiscard]] bool Enough() const;
  [[nodiscard]] Region& AnyRegion();
  [[nodiscard]] uint32_t PagesTarget() const;
  void NewRegion();
  // Takes the own lock, or the lock of the world and those of all workers; and releases them.
  void Hold(bool world);
  void ResumeOthers();
  void Release();
  // A few ordinary operations on memory other than `busy`.
  void WorkElsewhere(const Region& busy);

  // Operations (see Catalogue in worker.cc).
  void Sabotage();
  void Resize();
  void Recreate();
  void Fork(bool everything);
  [[noreturn]] void Child(bool everything);
  void SpawnProcess();
  void SpawnThread();
  void SignalSibling();
  void MoveBreak();
  void ShrinkBreak(Region& last);
  void GrowBreak();

  World& world_;
  uint32_t index_;
  Rng rng_;
  HeapBag bag_;
  Transfer transfer_;
  std::vector<std::unique_ptr<Region>> regions_;
  std::vector<uint64_t> counts_;
  uint64_t added_ = 0;
  uint64_t steps_ = 0;
  std::unique_ptr<std::byte[]> signal_stack_;
  std::mutex lock_;
  // What Hold() took.
  std::unique_lock<std::mutex> world_lock_;
  std::unique_lock<std::mutex> own_;
  std::vector<std::unique_lock<std::mutex>> others_;
  pthread_t thread_{};
};

// Names of the operations, in the order of counts().
std::vector<const char*> OperationNames();

// The handler of SIGUSR1, which reads quiet pages from the world given.
void InstallSignalHandler(World& world);

}  // namespace uzswap::churn

#endif  // UZSWAP_TESTS_SYSTEM_CHURN_WORKER_H_
