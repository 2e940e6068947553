// PageTablePeer: what tests may do to a PageTable, and to its entries, beside the public methods.
#ifndef UZSWAP_VM_TESTING_PAGE_TABLE_PEER_H_
#define UZSWAP_VM_TESTING_PAGE_TABLE_PEER_H_

#include "vm/page_table.h"

namespace uzswap {

class PageTablePeer {
 public:
  // Memory of the entries.
  static Bytes EntryBytes(const PageTable& table) { return table.entries_.used_bytes(); }
  // No memory for new entries from now on, except in freed blocks.
  static void RefuseGrowth(PageTable& table) { RefuseGrowth(table.entries_); }
  static void RefuseGrowth(EntryStore& entries) {
    entries.nodes_.refuse_growth_ = true;
    for (BlockPool& pool : entries.blocks_) pool.refuse_growth_ = true;
  }
  // No memory for new ranges from now on.
  static void RefuseRanges(PageTable& table) { table.refuse_ranges_ = true; }
};

}  // namespace uzswap

#endif  // UZSWAP_VM_TESTING_PAGE_TABLE_PEER_H_
