// Residence: where the page of an address is, as fork handlers ask.
#ifndef UZSWAP_PAGER_RESIDENCE_H_
#define UZSWAP_PAGER_RESIDENCE_H_

#include <cstdint>

namespace uzswap {

enum class Residence : uint8_t {
  kNotRegistered,  // uzswap does not serve this address
  kInProgram,      // registered, and present or never touched
  kSwappedOut,     // registered, and its content is with uzswap
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_RESIDENCE_H_
