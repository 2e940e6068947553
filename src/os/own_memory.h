// OwnMemory: how much of uzswap's own memory is present.
//
// Every Mapping has a purpose (os/mapping.h). PresentOwnBytes adds up the present pages of all own
// ranges of one purpose, as the kernel reports them (PAGEMAP_SCAN). A table that reserves gigabytes
// and has touched three pages counts as three pages.
//
// All these mappings are private and anonymous, so the kernel counts their pages in RssAnon too.
// The sum can be larger than their part of RssAnon for two reasons. A page that was read but never
// written maps the kernel's zero page, which is present and uses no memory. A page that the kernel
// swapped out counts here too. Neither figure includes memory that the kernel allocates for the
// mappings (page tables, VMAs).
//
// After a fork, a relative may map the same pages. SampleOwnSharing tells for how many: it looks at
// one of `stride` blocks of 64 pages.
//
// Both cost one walk over the page tables of these ranges. Any thread of the descriptor table in
// which `space` was opened may call it. Nothing allocates.
#ifndef UZSWAP_OS_OWN_MEMORY_H_
#define UZSWAP_OS_OWN_MEMORY_H_

#include "base/units.h"
#include "os/address_space.h"
#include "os/mapping.h"
#include "os/pagemap.h"

namespace uzswap::os {

// A range that the kernel refuses to scan counts as zero bytes.
Bytes PresentOwnBytes(AddressSpace& space, MappingPurpose purpose);

// `phase`: which of the blocks. Another one each time, so that nothing escapes for ever.
PageSharing SampleOwnSharing(LinuxAddressSpace& space, MappingPurpose purpose, uint64_t stride,
                             uint64_t phase);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_OWN_MEMORY_H_
