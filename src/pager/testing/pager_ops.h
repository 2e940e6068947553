// What can happen to a PagerWorld, as values: for the random test, the fuzzer and replays.
//
// An operation is a kind and two numbers, which Perform maps onto what the state allows, so that
// every sequence of bytes is a valid history. A failure prints the operations that led to it.
#ifndef UZSWAP_PAGER_TESTING_PAGER_OPS_H_
#define UZSWAP_PAGER_TESTING_PAGER_OPS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pager/testing/pager_world.h"

namespace uzswap {

enum class PagerOpKind : uint8_t {
  kRead,
  kWrite,
  kFill,  // a page of some kind of content
  kRunThreads,
  kServePass,
  kMap,
  kAdopt,
  kUnmap,
  kReplace,
  kRemap,
  kGrow,
  kDiscard,
  kStepChange,
  kIsolate,
  kBeginBatch,
  kStoreBatch,
  kFinishBatch,
  kCompress,
  kRelease,
  kSetHeadroom,
  kProtect,
  kPin,
  kRefuse,  // the next call is answered kRetry or so
  kPinResident,
  kWriteBack,     // the writer empties some units; their writes stay on the way
  kEndWrites,     // and end
  kBeginRead,     // a pass that leaves its reads to be done
  kDoRead,        // they are done
  kDeviceError,   // the device's next call fails, once
  kBeginSharing,  // as before a fork: what is stored is kept when it is loaded
  kEndSharing,
};
inline constexpr int kPagerOpKinds = 31;

struct PagerOp {
  PagerOpKind kind = PagerOpKind::kRead;
  uint16_t a = 0;
  uint16_t b = 0;
};

std::string ToText(const PagerOp& op);

// The world and what hand-stepped operations leave open between them.
class PagerHistory {
 public:
  PagerHistory();
  // Ends what is open, and reads every page.
  ~PagerHistory();

  void Perform(const PagerOp& op);
  // Compares and audits; false after the first failure.
  bool Check() { return world_.Check(); }
  bool Finish();
  [[nodiscard]] const std::string& failure() const { return world_.failure(); }

 private:
  using Access = PagerWorld::Access;
  using Batch = PagerTestPeer::Batch;

  static constexpr uint64_t kPages = 96;  // where the program may map
  static constexpr uint64_t kDeviceBytes = 2 << 20;
  static constexpr uint32_t kThreads = 4;
  static constexpr size_t kChangesMax = 3;

  struct Thread {
    bool busy = false;
    bool write = false;
    uint64_t page = 0;
    std::byte value{};
  };
  struct OpenBatch {
    Batch batch;
    bool stored = false;
  };

  void Start(uint32_t number, uint64_t page, bool write, std::byte value);
  void RunThreads();
  void Isolate(size_t want);
  void Map(uint64_t page, uint64_t pages);
  void Remap(const PagerOp& op);
  void Grow(const PagerOp& op);
  void Discard(const PagerOp& op);
  void StepChange(uint64_t which);
  void FinishBatchAt(size_t index);
  void Fill(const PagerOp& op);
  void Vacate(const PagerOp& op);
  void StoreLastBatch();
  void Refuse(const PagerOp& op);
  void PerformOnDevice(const PagerOp& op);
  void ServePass();
  void Pin(uint64_t page, bool pinned);
  // The mapping that holds `page`, in pages; count 0 if there is none.
  struct Span {
    uint64_t first = 0;
    uint64_t count = 0;
  };
  Span MappingOf(uint64_t page);
  [[nodiscard]] bool IsFree(uint64_t page, uint64_t pages);
  [[nodiscard]] bool IsInvolved(uint64_t page, uint64_t pages) const;
  [[nodiscard]] bool IsKnown(uint64_t page, uint64_t pages);

  PagerWorld world_;
  Thread threads_[kThreads];
  struct OpenChange {
    enum class Kind : uint8_t { kVacate, kRemap, kDiscard };
    PagerWorld::ChangeId change;
    uint64_t first;
    uint64_t count;
    Kind kind;
    // Does not return before the event of this one was read.
    std::optional<PagerWorld::ChangeId> waits_for = {};
  };
  [[nodiscard]] bool MustWait(const OpenChange& open);
  std::vector<OpenChange> changes_;
  std::vector<OpenBatch> batches_;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_TESTING_PAGER_OPS_H_
