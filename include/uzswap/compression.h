// Compression: which codec the pages of a region, or the units of a cache, are compressed with.
#ifndef UZSWAP_COMPRESSION_H_
#define UZSWAP_COMPRESSION_H_

#include <cstdint>

namespace uzswap {

enum class Compression : uint8_t {
  kAuto,  // lz4 or zstd, by what both cost on these data; what stays is made denser
  kLz4,
  kZstd,
};

}  // namespace uzswap

#endif  // UZSWAP_COMPRESSION_H_
