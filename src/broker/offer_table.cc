#include "broker/offer_table.h"

#include <algorithm>

#include "base/check.h"

namespace uzswap {

OfferTable::~OfferTable() {
  while (!offers_.empty()) Drop(offers_.begin());
}

std::vector<OfferTable::Offer>::iterator OfferTable::Find(uint64_t number) {
  return std::find_if(offers_.begin(), offers_.end(),
                      [number](const Offer& offer) { return offer.number == number; });
}

void OfferTable::Drop(std::vector<Offer>::iterator offer) {
  port_.Close(offer->descriptor);
  offers_.erase(offer);
}

bool OfferTable::Put(uint64_t number, int descriptor) {
  Expire();
  if (Find(number) != offers_.end()) {
    counters_.refused_offers.Add();
    return false;
  }
  if (offers_.size() == kOffersMax) {
    Drop(offers_.begin());
    counters_.displaced_offers.Add();
  }
  offers_.push_back({number, descriptor, port_.NowMs()});
  counters_.offers.Add();
  return true;
}

int OfferTable::Take(uint64_t number) {
  Expire();
  const auto offer = Find(number);
  if (offer == offers_.end()) {
    counters_.missed_takes.Add();
    return -1;
  }
  const int descriptor = offer->descriptor;
  offers_.erase(offer);
  counters_.taken_offers.Add();
  return descriptor;
}

bool OfferTable::Withdraw(uint64_t number) {
  Expire();
  const auto offer = Find(number);
  if (offer == offers_.end()) {
    counters_.missed_withdrawals.Add();
    return false;
  }
  Drop(offer);
  counters_.withdrawn_offers.Add();
  return true;
}

void OfferTable::Expire() {
  const uint64_t now = port_.NowMs();
  while (!offers_.empty() && now - offers_.front().since_ms >= kLifeMs) {
    Drop(offers_.begin());
    counters_.expired_offers.Add();
  }
}

void OfferTable::Audit() const {
  UZ_CHECK_LE(offers_.size(), kOffersMax);
  for (size_t i = 0; i < offers_.size(); ++i) {
    UZ_CHECK_GE(offers_[i].descriptor, 0);
    if (i > 0) UZ_CHECK_LE(offers_[i - 1].since_ms, offers_[i].since_ms);
    for (size_t j = 0; j < i; ++j) UZ_CHECK_NE(offers_[i].number, offers_[j].number);
  }
}

}  // namespace uzswap
