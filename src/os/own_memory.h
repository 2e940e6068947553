// OwnMemory: how much of uzswap's own memory is present.
//
// Every Mapping has a purpose (os/mapping.h). This sums the present pages of all own ranges of
// one purpose, page by page as the kernel reports them (PAGEMAP_SCAN), so a table that reserves
// gigabytes and has touched three pages counts as three pages.
//
// All these mappings are private and anonymous: the kernel counts their pages in RssAnon too. The
// sum can be larger than their part of RssAnon: a page that was read but never written maps the
// kernel's zero page, which is present and takes up no memory, and a swapped page counts here too.
// What the kernel allocates because of them (page tables, VMAs) is in neither figure.
//
// Costs one walk over the page tables of these ranges. Any thread of the descriptor table that
// `space` was opened in; nothing allocates.
#ifndef UZSWAP_OS_OWN_MEMORY_H_
#define UZSWAP_OS_OWN_MEMORY_H_

#include "base/units.h"
#include "os/address_space.h"
#include "os/mapping.h"

namespace uzswap::os {

// A range that the kernel refuses to scan counts as nothing.
Bytes PresentOwnBytes(AddressSpace& space, MappingPurpose purpose);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_OWN_MEMORY_H_
