// StoreSink: where the evictor puts pages. Tests replace it, so no pool is needed.
//
// PageStoreSink is the real one: a PageStore (swap/page_store.h). Store is called without the
// owner's lock, Free and PoolBytes with it.
#ifndef UZSWAP_RECLAIM_STORE_SINK_H_
#define UZSWAP_RECLAIM_STORE_SINK_H_

#include "swap/page_store.h"

namespace uzswap {

class StoreSink {
 public:
  virtual StoredPage Store(CacheContext& context, ConstPageBytes page) = 0;
  virtual void Free(CacheContext& context, SwapSlot slot) = 0;
  // What the pool holds now, idle frames included.
  [[nodiscard]] virtual Bytes PoolBytes() const = 0;

 protected:
  ~StoreSink() = default;
};

class PageStoreSink final : public StoreSink {
 public:
  void Attach(PageStore* store) { store_ = store; }

  StoredPage Store(CacheContext& context, ConstPageBytes page) override {
    return store_->Store(context, page);
  }
  void Free(CacheContext& context, SwapSlot slot) override { store_->Free(context, slot); }
  [[nodiscard]] Bytes PoolBytes() const override { return store_->PoolBytes(); }

 private:
  PageStore* store_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_STORE_SINK_H_
