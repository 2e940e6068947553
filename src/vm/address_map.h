// AddressMap: what uzswap knows about the program's address space, put together.
//
//     UserFaultPort --> EventTrackingPort --> everybody who moves or populates pages
//                             |
//     events --> MappingEvents --> PageTable <-- RangeRegistrar <-- mappings to adopt
//
// Messages are read and applied under the owner's lock, and the kernel refuses every move and copy
// while an event is pending. So the holder of the lock knows the address space as it is.
#ifndef UZSWAP_VM_ADDRESS_MAP_H_
#define UZSWAP_VM_ADDRESS_MAP_H_

#include "vm/late_events.h"
#include "vm/mapping_events.h"
#include "vm/page_table.h"
#include "vm/range_registrar.h"

namespace uzswap {

class AddressMap {
 public:
  // All outlive this.
  struct Parts {
    os::UserFaultPort* port = nullptr;
    os::AddressSpace* address_space = nullptr;
    Statistics* statistics = nullptr;
    PageDiscarder* discarder = nullptr;
  };

  // Once. Fails with the errno of mmap.
  Result<void> Init(const Parts& parts) {
    Result<void> done = table_.Init();
    if (!done.ok()) return done;
    done = registrar_.Init({});
    UseParts(parts);
    return done;
  }
  // In a forked child, with a port and statistics of its own.
  void UseParts(const Parts& parts) {
    port_.Attach(parts.port);
    events_.Init({.port = &port_,
                  .table = &table_,
                  .discarder = parts.discarder,
                  .statistics = parts.statistics});
    registrar_.UseParts({.port = &port_,
                         .address_space = parts.address_space,
                         .table = &table_,
                         .events = &events_,
                         .statistics = parts.statistics});
  }

  [[nodiscard]] EventTrackingPort& port() { return port_; }
  [[nodiscard]] PageTable& table() { return table_; }
  [[nodiscard]] MappingEvents& events() { return events_; }
  [[nodiscard]] RangeRegistrar& registrar() { return registrar_; }

 private:
  EventTrackingPort port_;
  PageTable table_;
  MappingEvents events_;
  RangeRegistrar registrar_;
};

}  // namespace uzswap

#endif  // UZSWAP_VM_ADDRESS_MAP_H_
