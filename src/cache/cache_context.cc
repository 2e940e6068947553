#include "cache/cache_context.h"

#include <utility>

#include "cache/compressed_cache.h"

namespace uzswap {

void CacheCounters::AddTo(CacheCounters& sum) const {
#define UZ_SUM(name, meaning) sum.name.Add(this->name.Get());
  UZ_CACHE_COUNTERS(UZ_SUM)
#undef UZ_SUM
}

void CacheCounters::CountChange(EntryWord from, EntryWord to) {
  if (from.empty() != to.empty()) (to.empty() ? entries_out : entries_in).Add();
  const bool was_same = from.kind() == EntryKind::kSameFilled;
  const bool is_same = to.kind() == EntryKind::kSameFilled;
  if (was_same != is_same) (is_same ? same_filled_in : same_filled_out).Add();
  const bool was_disk = from.kind() == EntryKind::kOnDisk;
  const bool is_disk = to.kind() == EntryKind::kOnDisk;
  if (was_disk != is_disk) (is_disk ? disk_in : disk_out).Add();
  if (is_disk) disk_bytes_in.Add(to.place().size());
  if (was_disk) disk_bytes_out.Add(from.place().size());
  const bool was_plain = from.in_pool() && from.codec() == CodecId::kNone;
  const bool is_plain = to.in_pool() && to.codec() == CodecId::kNone;
  if (was_plain != is_plain) {
    (is_plain ? uncompressed_in : uncompressed_out).Add();
  }
}

CacheContext::~CacheContext() {
  if (cache_ != nullptr) cache_->contexts_.Remove(*this);
}

Result<void> CacheContext::Init(CompressedCache& cache) {
  UZ_CHECK(cache_ == nullptr);
  if (Result<void> done = codecs_[0].Init(*CodecById(CodecId::kLz4)); !done.ok()) return done;
  if (Result<void> done = codecs_[1].Init(*CodecById(CodecId::kZstd)); !done.ok()) return done;
  if (Result<void> done = read_.Init(); !done.ok()) return done;
  Result<os::Mapping> memory = os::Mapping::Create(Bytes(2 * kPageSize), "cache context");
  if (!memory.ok()) return memory.error();
  memory_ = std::move(memory).value();
  object_ = {memory_.data(), kPageSize};
  page_ = {memory_.data() + kPageSize, kPageSize};
  cache_ = &cache;
  cache.contexts_.Add(*this);
  return {};
}

Result<void> CacheContext::PrepareDense() { return codecs_[2].Init(DenseCodec()); }

CodecContext& CacheContext::codec(CodecId id) { return codecs_[id == CodecId::kZstd ? 1 : 0]; }

CodecContext& CacheContext::compressor(const Codec& codec) {
  return &codec == &DenseCodec() ? codecs_[2] : this->codec(codec.id());
}

CacheContexts::~CacheContexts() {
  MutexLock lock(mutex_);
  UZ_CHECK(list_.empty());
}

void CacheContexts::Add(CacheContext& context) {
  MutexLock lock(mutex_);
  list_.PushBack(context);
}

void CacheContexts::Remove(CacheContext& context) {
  MutexLock lock(mutex_);
  list_.Remove(context);
  context.counters_.AddTo(past_);
}

void CacheContexts::Count(CacheCounters& sum) {
  MutexLock lock(mutex_);
  past_.AddTo(sum);
  for (CacheContext* context = list_.front(); context != nullptr; context = list_.Next(*context)) {
    context->counters_.AddTo(sum);
  }
}

}  // namespace uzswap
