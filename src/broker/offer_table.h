// OfferTable: descriptors that one engine process leaves with the broker for another one.
//
//   Put(number, descriptor) ──> oldest [ offer | offer | ... ] newest ──> Take(number), once
//                                  │                 │
//                                  │                 └──> Withdraw(number)
//                                  └──> too old, or more than kOffersMax: closed
//
// The table owns its descriptors. Each number is used by at most one offer.
//
// One thread, in the broker's process.
#ifndef UZSWAP_BROKER_OFFER_TABLE_H_
#define UZSWAP_BROKER_OFFER_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "os/broker_port.h"
#include "session/broker_record.h"

namespace uzswap {

class OfferTable {
 public:
  static constexpr size_t kOffersMax = 256;
  static constexpr uint64_t kLifeMs = 60'000;

  OfferTable(os::BrokerPort& port, BrokerCounters& counters) : port_(port), counters_(counters) {}
  OfferTable(const OfferTable&) = delete;
  OfferTable& operator=(const OfferTable&) = delete;
  ~OfferTable();

  // False if the number is in use; the descriptor stays the caller's. If there are kOffersMax
  // offers, the oldest one is dropped.
  bool Put(uint64_t number, int descriptor);
  // The descriptor, which is now the caller's, or -1.
  int Take(uint64_t number);
  // False if there is no such offer.
  bool Withdraw(uint64_t number);
  // Drops what is kLifeMs old.
  void Expire();

  [[nodiscard]] size_t size() const { return offers_.size(); }
  // When the oldest offer becomes too old, on the port's clock; UINT64_MAX if there is none.
  [[nodiscard]] uint64_t next_expiry_ms() const {
    return offers_.empty() ? UINT64_MAX : offers_.front().since_ms + kLifeMs;
  }
  void Audit() const;

 private:
  struct Offer {
    uint64_t number;
    int descriptor;
    uint64_t since_ms;
  };
  std::vector<Offer>::iterator Find(uint64_t number);
  void Drop(std::vector<Offer>::iterator offer);

  os::BrokerPort& port_;
  BrokerCounters& counters_;
  std::vector<Offer> offers_;  // the oldest first
};

}  // namespace uzswap

#endif  // UZSWAP_BROKER_OFFER_TABLE_H_
