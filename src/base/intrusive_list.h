// IntrusiveList: a doubly linked list whose links are a member of its elements.
//
//   struct Item { ListLink link; ... };
//   IntrusiveList<Item, &Item::link> list;
//
//      head <-> A <-> B <-> C <-> head        front() is A, back() is C
//
// Never allocates. Each link is on at most one list. Not synchronised: the owner's lock guards it.
// The destructor checks that the list is empty. No call invalidates references to elements.
#ifndef UZSWAP_BASE_INTRUSIVE_LIST_H_
#define UZSWAP_BASE_INTRUSIVE_LIST_H_

#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace uzswap {

struct ListLink {
  ListLink* next = nullptr;
  ListLink* previous = nullptr;
  [[nodiscard]] bool linked() const { return next != nullptr; }
};

template <typename T, ListLink T::*kLink>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next = head_.previous = &head_; }
  ~IntrusiveList() { UZ_CHECK(empty()); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  [[nodiscard]] bool empty() const { return head_.next == &head_; }
  [[nodiscard]] size_t size() const { return size_; }

  void PushFront(T& item) { Insert(&(item.*kLink), &head_, head_.next); }
  void PushBack(T& item) { Insert(&(item.*kLink), head_.previous, &head_); }
  void Remove(T& item) {
    ListLink* link = &(item.*kLink);
    UZ_CHECK(link->linked());
    link->previous->next = link->next;
    link->next->previous = link->previous;
    *link = ListLink{};
    --size_;
  }
  // nullptr when empty.
  [[nodiscard]] T* front() const { return empty() ? nullptr : Owner(head_.next); }
  [[nodiscard]] T* back() const { return empty() ? nullptr : Owner(head_.previous); }
  // The element after `item`; nullptr at the end. Requires: `item` is on this list.
  [[nodiscard]] T* Next(const T& item) const {
    ListLink* next = (item.*kLink).next;
    return next == &head_ ? nullptr : Owner(next);
  }

  // Walks the whole list. Checks the links in both directions and the size.
  void Audit() const {
    size_t count = 0;
    for (const ListLink* link = &head_;; link = link->next) {
      UZ_CHECK(link->next->previous == link);
      if (link->next == &head_) break;
      ++count;
    }
    UZ_CHECK_EQ(count, size_);
  }

 private:
  static T* Owner(ListLink* link) {
    alignas(T) static constexpr char kProbe[sizeof(T)] = {};
    const T* probe = reinterpret_cast<const T*>(kProbe);
    const auto offset =
        reinterpret_cast<const char*>(&(probe->*kLink)) - reinterpret_cast<const char*>(probe);
    return reinterpret_cast<T*>(reinterpret_cast<char*>(link) - offset);
  }
  void Insert(ListLink* link, ListLink* before, ListLink* after) {
    UZ_CHECK(!link->linked());
    link->previous = before;
    link->next = after;
    before->next = link;
    after->previous = link;
    ++size_;
  }

  ListLink head_;
  size_t size_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BASE_INTRUSIVE_LIST_H_
