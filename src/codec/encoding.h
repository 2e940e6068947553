// Encoding: how the bytes of an object become a page again: the codec, and the dictionary's
// version.
//
// It is what a record on a backing store says of its payload. In memory an entry names the slot of
// its dictionary instead (dictionary_set.h).
#ifndef UZSWAP_CODEC_ENCODING_H_
#define UZSWAP_CODEC_ENCODING_H_

#include <cstdint>

#include "codec/codec_id.h"

namespace uzswap {

struct Encoding {
  CodecId codec = CodecId::kNone;
  uint32_t dictionary = 0;  // its version, of kDictionaryVersionBits bits; 0: none
  friend constexpr bool operator==(Encoding, Encoding) = default;
};

}  // namespace uzswap

#endif  // UZSWAP_CODEC_ENCODING_H_
