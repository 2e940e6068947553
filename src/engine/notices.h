// Notices: the lines that uzswap says to the person who started the program.
//
//   notice ──> Session::Say ──kQueued──> the runner prints it, where the program's errors go
//                   │
//                   ├─kNoRunner────────> written to the program's standard error, if that needs
//                   │                    no waiting
//                   └─kFull────────────> a warning of the tree and last words: as kNoRunner
//                                        anything else: dropped
//
//   once a tree      over the limit; trouble with the backing store
//   once a process   refused
//   each time        a poisoned page, until the run has used up its messages (Session::kMessages)
//
// A dropped line is counted (`dropped_messages`). Without a runner the first kMessages lines of
// the tree are written directly, so a run without a runner is bounded as well.
//
// Nothing here blocks or allocates: a poisoned page is reported with the pager's lock held. Lines
// are composed on the stack. Any thread.
#ifndef UZSWAP_ENGINE_NOTICES_H_
#define UZSWAP_ENGINE_NOTICES_H_

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "engine/session_member.h"

namespace uzswap {

// Why nothing is written to the backing store.
enum class BackingTrouble : uint8_t {
  kUnusable,    // it could not be opened
  kFailed,      // a write failed
  kFull,        // no space is left
  kWriteLimit,  // the write limit of the period is used up
};

// Usage above the limit.
struct Excess {
  Bytes tree;
  Bytes limit;
  bool progress = false;  // pages are reclaimed all the time, and it is not enough
};

// What keeps pages of this process resident, so that the limit cannot be held. Asked only if a line
// is said.
class ResidentCauses {
 public:
  // mlock and mlockall.
  virtual Bytes Locked() = 0;
  // Private anonymous mappings that are read-only or inaccessible: UFFDIO_MOVE refuses them.
  virtual Bytes Protected() = 0;

 protected:
  ~ResidentCauses() = default;
};

class Notices {
 public:
  // Writes a line without waiting. False: it was not written.
  using Writer = bool (*)(std::string_view line);

  // `write` is where lines go that no runner prints. Before Init nothing is said.
  void Init(SessionMember& member, Writer write);

  void OverLimit(const Excess& excess, ResidentCauses* causes = nullptr);
  // This process runs unmanaged.
  void Refused(Error error);
  // This process has no reclaim daemon that could watch it. Said for the first of the tree.
  void Unwatched(Error error);
  void Backing(BackingTrouble trouble, Error error);
  // `error` is the errno of the read, 0 if the data that was read is damaged.
  void PoisonedPage(uint64_t address, int error);
  // The line of a panic.
  void LastWords(std::string_view line);

 private:
  enum class Importance : uint8_t { kWhileThereIsRoom, kAlways };

  void Say(std::string_view line, Importance importance);

  SessionMember* member_ = nullptr;
  Writer write_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_NOTICES_H_
