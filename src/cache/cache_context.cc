#include "cache/cache_context.h"

#include <utility>

#include "cache/compressed_cache.h"

namespace uzswap {

void CacheCounters::AddTo(CacheCounters& sum) const {
#define UZ_SUM(name, meaning) sum.name.Add(this->name.Get());
  UZ_CACHE_COUNTERS(UZ_SUM)
#undef UZ_SUM
}

CacheContext::~CacheContext() {
  if (cache_ != nullptr) cache_->RemoveContext(*this);
}

Result<void> CacheContext::Init(CompressedCache& cache) {
  UZ_CHECK(cache_ == nullptr);
  if (Result<void> done = lz4_.Init(*CodecById(CodecId::kLz4)); !done.ok()) return done;
  if (Result<void> done = zstd_.Init(*CodecById(CodecId::kZstd)); !done.ok()) return done;
  if (Result<void> done = read_.Init(); !done.ok()) return done;
  Result<os::Mapping> memory = os::Mapping::Create(Bytes(2 * kPageSize), "cache context");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  object_ = {memory_.data(), kPageSize};
  page_ = {memory_.data() + kPageSize, kPageSize};
  cache_ = &cache;
  cache.AddContext(*this);
  return {};
}

CodecContext& CacheContext::codec(CodecId id) { return id == CodecId::kZstd ? zstd_ : lz4_; }

}  // namespace uzswap
