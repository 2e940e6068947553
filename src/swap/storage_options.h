// StorageOptions: what a StorageStack is made of, and its limits.
//
//   memory_limit ├──────────────────────────────┤  address space of the arena; the caller's budget
//     pool_limit ├──────────┤ writeback begins at 90 % of it; stores are refused at it
//                           └─> backing.size_limit ├───────┤  at most write_limit in a period
//
// Plain data. A zero limit means "none", except memory_limit, which must be given.
#ifndef UZSWAP_SWAP_STORAGE_OPTIONS_H_
#define UZSWAP_SWAP_STORAGE_OPTIONS_H_

#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "base/wear_account.h"
#include "codec/codec.h"
#include "codec/dictionary.h"
#include "os/io_port.h"
#include "pool/pool_kind.h"

namespace uzswap {

// What happens to a page that compression makes hardly smaller.
enum class KeepIncompressible : uint8_t {
  kIfWritable,  // stored uncompressed if it can be written back later, else refused
  kAlways,      // stored uncompressed
  kNever,       // refused: StoredAs::kIncompressible
};

// Where pages go that leave the pool. Without path and port they stay in the pool.
struct StorageBackingOptions {
  // A file, a directory for an unlinked file, or a block device (os/backing_file.h). Absolute.
  // Read during Init only. nullptr or empty: none.
  const char* path = nullptr;
  // Instead of a path: a device of the caller, which outlives the stack. The stack keeps nothing on
  // it for forked children, so their loads from it may fail.
  os::IoPort* port = nullptr;
  Bytes size_limit{};
  Bytes write_limit{};          // bytes written in each period
  uint32_t write_period_s = 0;  // needed with a write limit
  bool encrypt = false;
  // The account of bytes written, if others share it. It outlives the stack.
  WearAccount* wear = nullptr;

  [[nodiscard]] bool wanted() const {
    return port != nullptr || (path != nullptr && *path != '\0');
  }
};

struct StorageOptions {
  // The least for which the stack can work: a few frames for each size class.
  static constexpr Bytes kMemoryLimitMin{uint64_t{64} << 10};
  // The frames of an arena are numbered with 32 bits.
  static constexpr Bytes kMemoryLimitMax{uint64_t{1} << 43};
  // A few segments; in less space nothing could be written.
  static constexpr Bytes kBackingSizeMin{uint64_t{1} << 20};

  PoolKind pool = PoolKind::kZsmalloc;
  CodecMode codec = CodecMode::kLz4;
  Bytes dictionary_max{};  // of the content of a dictionary; 0: no dictionaries are used
  Bytes memory_limit{};
  Bytes pool_limit{};  // at most memory_limit
  KeepIncompressible keep_incompressible = KeepIncompressible::kIfWritable;
  // Objects that the pool has handles for, for each frame. A page compresses to a tenth at best.
  uint32_t objects_per_frame = 10;
  // For callers that use cache() instead of store(): areas besides that of the store, and leaves of
  // their entries. A leaf has 64 neighbouring entries, and takes memory when it is used.
  uint32_t extra_areas = 0;
  uint32_t extra_leaves = 0;
  StorageBackingOptions backing;
};

// An error names the option that is wrong, and what it must be. Its errno_value is EINVAL.
Result<void> Validate(const StorageOptions& options);

}  // namespace uzswap

#endif  // UZSWAP_SWAP_STORAGE_OPTIONS_H_
