// The codecs as parameters of tests: those that a user can name, and "dense".
#ifndef UZSWAP_CODEC_TESTING_CODEC_NAMES_H_
#define UZSWAP_CODEC_TESTING_CODEC_NAMES_H_

#include <string_view>

#include "base/check.h"
#include "codec/codec.h"

namespace uzswap {

inline constexpr const char* kCodecNames[] = {"lz4", "zstd", "dense"};

inline const Codec& CodecToTest(std::string_view name) {
  if (name == "dense") return DenseCodec();
  const Codec* const codec = CodecByName(name);
  UZ_CHECK(codec != nullptr);
  return *codec;
}

}  // namespace uzswap

#endif  // UZSWAP_CODEC_TESTING_CODEC_NAMES_H_
