// SwapIn: pages that must be read from the backing store before a fault can be answered.
//
//                 Request                 Begin              Finish
//      (nothing) --------> Wanted ------------------> Reading -------> Loaded  --> copied to the
//          ^                  |                          |      \----> Failed      program
//          |                  |  the slot is freed       |
//          +------------------+--------------------------+---- Stale (dropped at Finish)
//
// A fault whose page is on disk stays parked, and its slot is requested here. One thread at a time
// takes the requests (Begin), reads them without the lock, side by side (Read), and publishes what
// it read (Finish). Then the fault is answered from the buffer. So no device is waited for under
// the lock, and whatever happens to the page meanwhile is an ordinary outcome: a buffer belongs to
// a slot, and when the slot is freed the buffer is dropped (SlotFreed). Its bytes are the content
// of the slot for as long as the slot is allocated, because stored content never changes.
//
// Slots ahead of a thread that scans are requested too, when no fault waits. They are read into the
// compressed cache's readahead frames, not into buffers.
//
// Begin, Finish, Request, Find and SlotFreed under the owner's lock; Read without it, by the thread
// that called Begin. Nothing allocates after Init.
#ifndef UZSWAP_PAGER_SWAP_IN_H_
#define UZSWAP_PAGER_SWAP_IN_H_

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "os/mapping.h"
#include "reclaim/page_contents.h"
#include "swap/page_store.h"

namespace uzswap {

class SwapIn final : public SlotObserver {
 public:
  static constexpr size_t kReadsMax = 16;  // pages that faults wait for, read at once
  static constexpr size_t kAheadMax = 8;   // pages ahead of a scan, read at once

  // Slots that one thread reads. Filled by Begin, used by Read and Finish.
  struct Batch {
    SwapSlot slots[kReadsMax];
    uint8_t buffers[kReadsMax] = {};      // positions in the buffer; not used for readahead
    LoadedPage outcomes[kReadsMax] = {};  // by Read
    int errors[kReadsMax] = {};           // errno of a failed read, 0 if its bytes are damaged
    size_t count = 0;
    bool ahead = false;
  };

  enum class Held : uint8_t { kNothing, kComing, kLoaded, kFailed };
  struct Found {
    Held held = Held::kNothing;
    const std::byte* page = nullptr;  // kLoaded: valid until the lock is released
    int error = 0;                    // kFailed
  };

  // Once. Fails with the errno of mmap.
  Result<void> Init(PageStore* store);

  // A pass over the parked faults begins. What no fault asked for in the last two passes may be
  // dropped for something else.
  void BeginPass() { ++pass_; }
  [[nodiscard]] Found Find(SwapSlot slot);
  // A fault waits for this slot. Without a free buffer nothing happens: the fault asks again.
  void Request(SwapSlot slot);
  // A thread will probably touch this slot. False if there is no room for more.
  bool RequestAhead(SwapSlot slot);

  // Takes what is wanted, else (`ahead`) what lies ahead. Nothing to read: count 0.
  void Begin(bool ahead, Batch* batch);
  // Without the lock.
  void Read(CacheContext& context, Batch* batch) const;
  void Finish(const Batch& batch);

  void SlotFreed(SwapSlot slot) override;
  // In a forked child: nobody reads, and nobody waits.
  void Reset();

 private:
  enum class State : uint8_t { kEmpty = 0, kWanted, kReading, kLoaded, kFailed, kStale };
  struct Buffer {
    State state = State::kEmpty;
    SwapSlot slot;
    int error = 0;
    uint64_t used_pass = 0;
  };

  // The one function that changes a buffer's state.
  void Change(Buffer& buffer, State to);
  [[nodiscard]] Buffer* BufferOf(SwapSlot slot);
  [[nodiscard]] Buffer* FreeBuffer();
  [[nodiscard]] std::byte* PageOf(size_t position) const {
    return memory_.data() + (position << kPageShift);
  }

  PageStore* store_ = nullptr;
  os::Mapping memory_;
  Buffer buffers_[kReadsMax];
  size_t in_use_ = 0;  // buffers that are not empty
  uint64_t pass_ = 0;
  SwapSlot ahead_[kReadsMax];
  size_t ahead_count_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_SWAP_IN_H_
