// StoreSink: where the evictor puts pages. Tests replace it, so no pool is needed.
//
// PageStoreSink is the real one: a PageStore (swap/page_store.h). ReadKept and Store are
// called without the owner's lock, Free and PoolBytes with it. ReadKept may wait for a device.
#ifndef UZSWAP_RECLAIM_STORE_SINK_H_
#define UZSWAP_RECLAIM_STORE_SINK_H_

#include <span>

#include "swap/page_store.h"

namespace uzswap {

class StoreSink {
 public:
  // Reads those of the slots that are on disk, so that Store can compare. Other threads may free
  // them at any time.
  virtual void ReadKept(CacheContext& context, std::span<const SwapSlot> kept) = 0;
  // `kept` is not valid, or may hold the same content.
  virtual StoredPage Store(CacheContext& context, ConstPageBytes page, SwapSlot kept) = 0;
  virtual void Free(CacheContext& context, SwapSlot slot) = 0;
  // What the pool holds now, idle frames included.
  [[nodiscard]] virtual Bytes PoolBytes() const = 0;

 protected:
  ~StoreSink() = default;
};

class PageStoreSink final : public StoreSink {
 public:
  void Attach(PageStore* store) { store_ = store; }

  void ReadKept(CacheContext& context, std::span<const SwapSlot> kept) override {
    store_->Prefetch(context, kept);
  }
  StoredPage Store(CacheContext& context, ConstPageBytes page, SwapSlot kept) override {
    return store_->Store(context, page, kept);
  }
  void Free(CacheContext& context, SwapSlot slot) override { store_->Free(context, slot); }
  [[nodiscard]] Bytes PoolBytes() const override { return store_->PoolBytes(); }

 private:
  PageStore* store_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_STORE_SINK_H_
