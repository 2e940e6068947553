// OwnAddress: where uzswap's memory lies in the address space of a program: away from the
// program's.
//
//     0x0000'...                0x2000'0000'0000        0x4000'0000'0000            0x7fff'...
//     | program, heap ->  .......  | uzswap's ranges -> |  ......  <- mappings, stack |
//
// Left to itself, the kernel puts a mapping into the highest hole that it fits in. Often such a
// hole is one that the program has just made, and that it will fill again: munmap of a part, or
// mremap away from it, and later MAP_FIXED at the same address. A program with one thread may rely
// on the hole. So uzswap asks for addresses where no kernel and no known runtime puts anything, and
// uses each of them once.
//
// Where the addresses begin is random, and chosen once in each process. The kernel treats an
// address as a hint: if something is there already, the mapping gets another address.
//
// Any thread may call this, also inside a program that uzswap was preloaded into.
#ifndef UZSWAP_OS_OWN_ADDRESS_H_
#define UZSWAP_OS_OWN_ADDRESS_H_

#include <cstddef>
#include <cstdint>

namespace uzswap::os {

inline constexpr uint64_t kOwnAddressesStart = uint64_t{0x20} << 40;
inline constexpr uint64_t kOwnAddressesEnd = uint64_t{0x40} << 40;

// The first argument for the mmap of a new mapping of `bytes`.
[[nodiscard]] void* NextOwnAddress(size_t bytes);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_OWN_ADDRESS_H_
