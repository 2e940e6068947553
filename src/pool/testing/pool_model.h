// PoolModel: what a pool must contain after any sequence of operations.
//
//     Operation --> PoolModel::Perform --+--> Pool     (real)
//                                        +--> objects  (expected content, size and owner key)
//
// An Operation is a struct that can be printed. Perform executes it on the pool and on the model,
// and checks that both agree. The random test makes operations from a seeded generator, the fuzzer
// from its input. A failure is repeated by performing the printed operations again.
//
// Single-threaded. A difference panics, so that every caller fails in the same way.
#ifndef UZSWAP_POOL_TESTING_POOL_MODEL_H_
#define UZSWAP_POOL_TESTING_POOL_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "frame/block_reclaimer.h"
#include "frame/frame_arena.h"
#include "pool/testing/pool_testing.h"

namespace uzswap {

struct Operation {
  enum class Kind : uint8_t {
    kStore,          // a: size, b: content and owner
    kAllocate,       // the same in two steps
    kFree,           // a: which
    kWrite,          // a: which, b: new content
    kRead,           // a: which
    kPin,            // a: which; it stays pinned
    kUnpin,          // a: which pin
    kCompact,        // a: budget
    kReclaimRange,   // a: first frame, b: how many
    kReclaimBlocks,  // a: how many
    kReclaimUnit,    // b: which objects are freed, moved, or kept
    kListFrame,      // a: frame
    kReleaseFrames,  // a: how many
    kFailNth,        // a: n
    kUseStale,       // a: which of the freed objects
    kAudit,
  };
  static constexpr uint32_t kKinds = 16;
  Kind kind = Kind::kAudit;
  uint32_t a = 0;
  uint32_t b = 0;

  [[nodiscard]] std::string ToString() const;
};

// Selects kinds so that the pool grows, shrinks and churns. `phase` selects growth or shrinking.
Operation RandomOperation(Rng& rng, uint64_t phase);

class PoolModel {
 public:
  static constexpr uint32_t kFrames = 256;
  static constexpr uint32_t kFramesPerBlock = 32;
  static constexpr size_t kObjectsMax = 3000;

  PoolModel(PoolVariant kind, FrameAccess access);
  ~PoolModel();
  void Perform(const Operation& operation);
  // Checks every object and the structures of the pool and the arena. Drops all pins.
  void CheckEverything();
  [[nodiscard]] Pool& pool() { return *pool_; }

 private:
  struct Object {
    Handle handle;
    uint64_t owner = 0;
    uint32_t size = 0;
    uint32_t content = 0;
    uint32_t pins = 0;
  };

  void Store(uint32_t size, uint32_t content, bool two_steps);
  void Free(size_t which);
  void Forget(size_t which);
  void CheckContent(const Object& object, const PinnedObject& pin);
  void ReclaimUnit(uint32_t fates);
  void ReclaimRange(uint32_t first, uint32_t count);
  void ReclaimBlocks(size_t max_blocks);
  void ListFrame(FrameId frame);
  void UseStale(uint32_t a);
  [[nodiscard]] size_t IndexOf(uint64_t owner) const;

  FrameArena arena_;
  BlockReclaimer reclaimer_{arena_, kFramesPerBlock};
  std::unique_ptr<HandlePool> pool_;
  std::vector<Object> objects_;
  std::vector<uint32_t> where_;  // owner key -> index in objects_ + 1
  std::vector<uint64_t> free_owners_;
  std::vector<Handle> stale_;
  struct Held {
    uint64_t owner;
    PinnedObject pin;
  };
  std::vector<Held> held_;
  std::vector<std::byte> expected_;
};

}  // namespace uzswap

#endif  // UZSWAP_POOL_TESTING_POOL_MODEL_H_
