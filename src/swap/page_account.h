// PageAccount: the one account of pages that were stored, loaded and invalidated.
//
//     zswpout = zswpin + invalidated_pages + stored_pages          at every quiet moment
//
// A page is stored when its entry says so: content whose compression was not used because the
// page changed meanwhile is a lost race, not a store. The compressed cache counts its own
// operations under other names; they are not part of this account.
//
// The lock of the owner of the page entries guards all calls.
#ifndef UZSWAP_SWAP_PAGE_ACCOUNT_H_
#define UZSWAP_SWAP_PAGE_ACCOUNT_H_

#include "base/statistics.h"

namespace uzswap {

class PageAccount {
 public:
  void Attach(Statistics* statistics) { statistics_ = statistics; }

  void NoteStored(bool same_filled) {
    statistics_->zswpout.Add();
    statistics_->stored_pages.Add();
    if (same_filled) statistics_->same_filled_pages.Add();
  }
  // The page is in the program again, and its stored copy is gone.
  void NoteLoaded(bool same_filled) {
    statistics_->zswpin.Add();
    NoteGone(same_filled);
  }
  // The program discarded or unmapped the page.
  void NoteInvalidated(bool same_filled) {
    statistics_->invalidated_pages.Add();
    NoteGone(same_filled);
  }

 private:
  void NoteGone(bool same_filled) {
    statistics_->stored_pages.Sub();
    if (same_filled) statistics_->same_filled_pages.Sub();
  }

  Statistics* statistics_ = nullptr;
};

}  // namespace uzswap

#endif  // UZSWAP_SWAP_PAGE_ACCOUNT_H_
