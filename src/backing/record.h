// Record: the format of one object in a segment, with checksum and key.
//
//   plain      | checksum 8 | key 8 | size 4, codec 1, dictionary 3 | payload ... | pad to 8 |
//   sealed     | length 4, nonce 12 | tag 16 | the same, encrypted ...       | pad to 8 |
//
// The checksum (XXH3, 64 bits) covers the rest of the header and the payload. The key identifies
// the object: a valid record with another key is kMisplaced. Records are found one after the other:
// the length of one leads to the next; zeroes end a segment.
//
// The header names the dictionary that the payload was compressed with by its version, 0 for none.
// The reader compares it with the dictionary that it is about to use.
//
// Records are read by the process that wrote them, never by another machine or version, so the
// byte order is the processor's and nothing carries a version.
//
// Pure functions on bytes; any thread.
#ifndef UZSWAP_BACKING_RECORD_H_
#define UZSWAP_BACKING_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "backing/sealer.h"
#include "codec/codec.h"
#include "codec/encoding.h"

namespace uzswap {

struct RecordHeader {
  uint64_t checksum;
  uint64_t key;
  uint32_t size;
  uint8_t codec;
  uint8_t dictionary[3];  // the version, lowest byte first
};
static_assert(sizeof(RecordHeader) == 24);

inline constexpr uint32_t kRecordPayloadMax = kPageSize;

// Bytes a record of `payload` bytes takes in its segment.
constexpr uint32_t RecordBytes(uint32_t payload, bool sealed) {
  const uint32_t bytes =
      static_cast<uint32_t>(sizeof(RecordHeader)) + payload + (sealed ? kSealOverhead : 0);
  return (bytes + 7) & ~7u;
}
inline constexpr uint32_t kRecordBytesMax = RecordBytes(kRecordPayloadMax, true);

enum class [[nodiscard]] RecordOutcome : uint8_t{
    kOk,
    kEnd,        // zeroes: nothing was written here
    kCorrupt,    // checksum or authentication failed, or the lengths make no sense
    kMisplaced,  // a valid record of another object
};

struct [[nodiscard]] RecordView {
  RecordOutcome outcome = RecordOutcome::kCorrupt;
  Encoding encoding;
  uint64_t key = 0;
  uint32_t bytes = 0;  // of the whole record; leads to the next one
  std::span<const std::byte> payload;
};

// Writes a record to the start of `to`; returns RecordBytes. `sealer` may be nullptr.
// Requires: it fits; 0 < object.size() <= kRecordPayloadMax.
uint32_t WriteRecord(std::span<std::byte> to, uint64_t key, Encoding encoding,
                     const ObjectView& object, Sealer* sealer);

// Reads the record at the start of `from`, whatever its key. Sealed payloads are opened into
// `scratch`, which needs kRecordBytesMax bytes; the view points into it or into `from`.
RecordView ReadRecord(std::span<const std::byte> from, const Sealer* sealer,
                      std::span<std::byte> scratch);

}  // namespace uzswap

#endif  // UZSWAP_BACKING_RECORD_H_
