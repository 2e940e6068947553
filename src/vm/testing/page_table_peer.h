// PageTablePeer: what tests may see of a PageTable beside the public methods.
#ifndef UZSWAP_VM_TESTING_PAGE_TABLE_PEER_H_
#define UZSWAP_VM_TESTING_PAGE_TABLE_PEER_H_

#include "vm/page_table.h"

namespace uzswap {

class PageTablePeer {
 public:
  // Memory of the entries.
  static Bytes EntryBytes(const PageTable& table) { return table.entries_.used_bytes(); }
};

}  // namespace uzswap

#endif  // UZSWAP_VM_TESTING_PAGE_TABLE_PEER_H_
