#include "codec/codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "codec/lz4_codec.h"
#include "codec/zstd_codec.h"

namespace uzswap {
namespace {

constexpr size_t kWord = sizeof(uint64_t);

constinit const Lz4Codec kLz4;
constinit const ZstdCodec kZstd(ZstdEffort::kFast);
constinit const ZstdCodec kDenseZstd(ZstdEffort::kDense);

uint64_t WordAt(std::span<const std::byte> page, size_t offset) {
  uint64_t word = 0;
  memcpy(&word, page.data() + offset, kWord);
  return word;
}

}  // namespace

void ObjectView::CopyTo(std::span<std::byte> to) const {
  UZ_CHECK_GE(to.size(), size());
  // The pointer of an empty span may be null, and memcpy does not allow that.
  if (!first.empty()) memcpy(to.data(), first.data(), first.size());
  if (!second.empty()) memcpy(to.data() + first.size(), second.data(), second.size());
}

const Codec* CodecByName(std::string_view name) {
  if (name == kLz4.name()) return &kLz4;
  if (name == kZstd.name()) return &kZstd;
  return nullptr;
}

const Codec* CodecById(CodecId id) {
  if (id == kLz4.id()) return &kLz4;
  if (id == kZstd.id()) return &kZstd;
  return nullptr;
}

const Codec& DenseCodec() { return kDenseZstd; }

bool IsSameFilled(std::span<const std::byte> page, uint64_t* pattern) {
  UZ_DCHECK(page.size() >= kWord && page.size() % kWord == 0);
  const uint64_t first = WordAt(page, 0);
  // Zeroes at the start are common in pages that have other content later. So check the last word
  // and one in the middle first.
  if (WordAt(page, page.size() - kWord) != first) return false;
  if (WordAt(page, page.size() / 2 / kWord * kWord) != first) return false;
  // A page repeats one word if and only if it equals itself shifted by one word.
  if (memcmp(page.data(), page.data() + kWord, page.size() - kWord) != 0) return false;
  *pattern = first;
  return true;
}

void FillPage(uint64_t pattern, std::span<std::byte> page) {
  UZ_DCHECK(page.size() % kWord == 0);
  for (size_t offset = 0; offset < page.size(); offset += kWord) {
    memcpy(page.data() + offset, &pattern, kWord);
  }
}

Result<void> CodecContext::Init(const Codec& codec) {
  UZ_CHECK(codec_ == nullptr);
  const size_t workspace = RoundUpToPage(codec.WorkspaceSize());
  Result<os::Mapping> memory =
      os::Mapping::Create(Bytes(workspace + kCodecUnitMax), "mmap of a codec's workspace");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  workspace_ = {memory_.data(), workspace};
  bounce_ = {memory_.data() + workspace, kCodecUnitMax};
  UZ_CHECK(codec.Prepare(workspace_));
  codec_ = &codec;
  return {};
}

CompressOutcome CodecContext::Compress(std::span<const std::byte> page, std::span<std::byte> out,
                                       const Dictionary* dictionary) {
  UZ_CHECK_LE(page.size(), kCodecUnitMax);
  UZ_DCHECK(dictionary == nullptr || !dictionary->empty());
  // An object that is as large as its page saves nothing. Such a page is stored uncompressed.
  const size_t room = std::min(out.size(), page.size() - 1);
  const size_t size =
      room == 0 ? 0 : codec_->Deflate(workspace_, page, out.first(room), dictionary);
  if (size == 0) return {};
  UZ_CHECK_LE(size, room);
  return {CompressKind::kCompressed, static_cast<uint32_t>(size)};
}

DecompressOutcome CodecContext::Decompress(const ObjectView& object, std::span<std::byte> page,
                                           const Dictionary* dictionary) {
  UZ_CHECK_LE(page.size(), kCodecUnitMax);
  const size_t size = object.size();
  if (size == 0 || size >= page.size()) return DecompressOutcome::kCorrupt;
  std::span<const std::byte> bytes = object.first;
  if (object.first.empty()) bytes = object.second;
  if (!object.first.empty() && !object.second.empty()) {
    object.CopyTo(bounce_);
    bytes = bounce_.first(size);
  }
  return codec_->Inflate(workspace_, bytes, page, dictionary) ? DecompressOutcome::kOk
                                                              : DecompressOutcome::kCorrupt;
}

}  // namespace uzswap
