// PageStore: one page in, a short word out; and back. The pager's view of codec and pool.
//
//   Store   page -> kStored(handle)       compressed, in the pool
//                 | kSameFilled(pattern)  the page repeats one 32-bit word; nothing is held
//                 | kPoor                 compression gains nothing worth a frame
//                 | kNoSpace              the pool has no frame for it
//   Load    handle -> page
//
// A page of one repeated 64-bit word that is not a repeated 32-bit one is stored as an object
// of exactly that word. Any thread may call any of these, each with a codec context of its
// own. A handle is good for any number of loads until Free. An object that does not decompress
// to a page is a broken promise: the process is aborted rather than given wrong bytes.
#ifndef UZSWAP_PAGER_PAGE_STORE_H_
#define UZSWAP_PAGER_PAGE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/statistics.h"
#include "codec/codec.h"
#include "frame/frame_arena.h"
#include "pool/pool.h"

namespace uzswap {

enum class StoreKind : uint8_t { kStored, kSameFilled, kPoor, kNoSpace };

struct [[nodiscard]] StoreOutcome {
  StoreKind kind = StoreKind::kPoor;
  uint64_t handle = 0;   // kStored: a Handle's raw(), 48 bits
  uint32_t pattern = 0;  // kSameFilled
};

class PageStore {
 public:
  // An object above this size would gain less than an eighth of a page.
  static constexpr size_t kObjectMax = kPageSize / 8 * 7;

  // All outlive the store.
  void Init(Pool* pool, const FrameArena* arena, Statistics* statistics) {
    pool_ = pool;
    arena_ = arena;
    statistics_ = statistics;
  }

  // `owner_key` comes back from the pool when a frame must be emptied.
  StoreOutcome Store(CodecContext& context, std::span<const std::byte> page, uint64_t owner_key);
  void Load(CodecContext& context, uint64_t handle, std::span<std::byte> page);
  void Free(uint64_t handle);
  [[nodiscard]] Bytes SizeOf(uint64_t handle) const;

  // What the pool costs now, idle frames included.
  [[nodiscard]] Bytes PoolBytes() const { return ToBytes(arena_->frames_populated()); }

 private:
  StoreOutcome StoreObject(std::span<const std::byte> object, uint64_t owner_key);

  Pool* pool_ = nullptr;
  const FrameArena* arena_ = nullptr;
  Statistics* statistics_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_PAGE_STORE_H_
