// The storage stack's name for what a user of the library chose.
#ifndef UZSWAP_LIBRARY_CODEC_MODE_H_
#define UZSWAP_LIBRARY_CODEC_MODE_H_

#include "codec/codec.h"
#include "uzswap/compression.h"

namespace uzswap {

constexpr CodecMode ModeOf(Compression compression) {
  switch (compression) {
    case Compression::kAuto:
      return CodecMode::kAuto;
    case Compression::kLz4:
      return CodecMode::kLz4;
    case Compression::kZstd:
      return CodecMode::kZstd;
  }
  return CodecMode::kAuto;
}

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_CODEC_MODE_H_
