#include "library/sigbus_handler.h"

#include <array>
#include <atomic>
#include <cerrno>

#include "base/mutex.h"
#include "os/signal_action.h"
#include "uzswap/region.h"

namespace uzswap {
namespace {

struct Slot {
  std::atomic<uint64_t> start{0};
  std::atomic<uint64_t> end{0};  // 0: free
  std::atomic<FaultReceiver*> receiver{nullptr};
};

std::array<Slot, Region::kRegionsMax> g_slots;
std::atomic<int> g_used{0};  // slots that were ever used
Mutex g_mutex(LockRank::kLeaf);
bool g_installed UZ_GUARDED_BY(g_mutex) = false;

Slot* FreeSlot() UZ_REQUIRES(g_mutex) {
  for (int i = 0; i < Region::kRegionsMax; ++i) {
    if (g_slots[static_cast<size_t>(i)].end.load(std::memory_order_relaxed) != 0) continue;
    // Release, here and below: the handler sees what it needs of a slot once it sees its range.
    if (i >= g_used.load(std::memory_order_relaxed)) g_used.store(i + 1, std::memory_order_release);
    return &g_slots[static_cast<size_t>(i)];
  }
  return nullptr;
}

// A slot can be used again while it is read. Addresses are not: so if the range is the same before
// and after, the receiver is the one of the range.
FaultReceiver* ReceiverOf(uint64_t address) {
  const int used = g_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    const Slot& slot = g_slots[static_cast<size_t>(i)];
    const uint64_t end = slot.end.load(std::memory_order_acquire);
    const uint64_t start = slot.start.load(std::memory_order_acquire);
    if (address >= end || address < start) continue;
    FaultReceiver* receiver = slot.receiver.load(std::memory_order_acquire);
    const bool same = slot.start.load(std::memory_order_acquire) == start &&
                      slot.end.load(std::memory_order_acquire) == end;
    if (same) return receiver;
  }
  return nullptr;
}

}  // namespace

Result<void> AddFaultReceiver(AddressRange range, FaultReceiver* receiver) {
  MutexLock lock(g_mutex);
  if (!g_installed) {
    const Result<void> installed = os::InstallBusErrorHandler(HandleSigbus);
    if (!installed.ok()) return installed;
    g_installed = true;
  }
  Slot* slot = FreeSlot();
  if (slot == nullptr) return Error{ENOMEM, "too many regions: at most 256"};
  slot->receiver.store(receiver, std::memory_order_release);
  slot->start.store(range.start, std::memory_order_release);
  slot->end.store(range.end, std::memory_order_release);
  return {};
}

void RemoveFaultReceiver(FaultReceiver* receiver) {
  MutexLock lock(g_mutex);
  for (Slot& slot : g_slots) {
    if (slot.receiver.load(std::memory_order_relaxed) != receiver) continue;
    slot.end.store(0, std::memory_order_release);
    slot.start.store(0, std::memory_order_release);
    slot.receiver.store(nullptr, std::memory_order_release);
  }
}

bool HandleSigbus(const void* information, const void* context) {
  const os::BusError error = os::ReadBusError(information, context);
  if (!error.missing) return false;
  FaultReceiver* receiver = ReceiverOf(error.address);
  return receiver != nullptr && receiver->OnFault(error.address, error.write);
}

}  // namespace uzswap
