#include "backing/record.h"

#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace uzswap {
namespace {

constexpr size_t kHeader = sizeof(RecordHeader);
constexpr size_t kChecked = sizeof(uint64_t);  // the checksum itself is not covered

uint64_t ChecksumOf(std::span<const std::byte> record) {
  return XXH3_64bits(record.data() + kChecked, record.size() - kChecked);
}

RecordView ParsePlain(std::span<const std::byte> from) {
  RecordHeader header;
  if (from.size() < kHeader) return {};
  memcpy(&header, from.data(), kHeader);
  if (header.size == 0 || header.size > kRecordPayloadMax) return {};
  if (kHeader + header.size > from.size()) return {};
  if (ChecksumOf(from.first(kHeader + header.size)) != header.checksum) return {};
  const uint32_t dictionary = header.dictionary[0] | uint32_t{header.dictionary[1]} << 8 |
                              uint32_t{header.dictionary[2]} << 16;
  return {RecordOutcome::kOk,
          {static_cast<CodecId>(header.codec), dictionary},
          header.key,
          RecordBytes(header.size, false),
          from.subspan(kHeader, header.size)};
}

bool IsEnd(std::span<const std::byte> from) {
  uint64_t words[3] = {};
  if (from.size() < kHeader) return true;
  memcpy(words, from.data(), sizeof(words));
  return (words[0] | words[1] | words[2]) == 0;
}

}  // namespace

uint32_t WriteRecord(std::span<std::byte> to, uint64_t key, Encoding encoding,
                     const ObjectView& object, Sealer* sealer) {
  const auto size = static_cast<uint32_t>(object.size());
  UZ_CHECK(size > 0 && size <= kRecordPayloadMax);
  const uint32_t bytes = RecordBytes(size, sealer != nullptr);
  UZ_CHECK_LE(bytes, to.size());
  const std::span<std::byte> plain =
      to.subspan(sealer != nullptr ? kSealOverhead : 0, kHeader + size);
  UZ_DCHECK(encoding.dictionary >> kDictionaryVersionBits == 0);
  RecordHeader header = {0, key, size, static_cast<uint8_t>(encoding.codec), {}};
  for (int i = 0; i < 3; ++i) {
    header.dictionary[i] = static_cast<uint8_t>(encoding.dictionary >> 8 * i);
  }
  memcpy(plain.data(), &header, kHeader);
  object.CopyTo(plain.subspan(kHeader));
  header.checksum = ChecksumOf(plain);
  memcpy(plain.data(), &header.checksum, sizeof(header.checksum));
  const size_t end = static_cast<size_t>(plain.data() - to.data()) + plain.size();
  memset(to.data() + end, 0, bytes - end);
  if (sealer != nullptr) sealer->SealInPlace(to.first(end));
  return bytes;
}

RecordView ReadRecord(std::span<const std::byte> from, const Sealer* sealer,
                      std::span<std::byte> scratch) {
  if (IsEnd(from)) return {RecordOutcome::kEnd, {}, 0, 0, {}};
  if (sealer == nullptr) return ParsePlain(from);
  const std::span<const std::byte> plain = sealer->Open(from, scratch);
  if (plain.empty()) return {};
  RecordView view = ParsePlain(plain);
  if (view.outcome == RecordOutcome::kOk) {
    view.bytes = RecordBytes(static_cast<uint32_t>(view.payload.size()), true);
  }
  return view;
}

}  // namespace uzswap
