// ReadProgramMemory: reads the program's memory at an address that may be unmapped at any moment.
//
// A plain access would end the process there. It waits for pages that are swapped out, so the
// caller must hold no lock that the pager needs. Any service thread. Nothing allocates.
#ifndef UZSWAP_OS_PROGRAM_MEMORY_H_
#define UZSWAP_OS_PROGRAM_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace uzswap::os {

// False if not all of it is mapped and readable, or if a filter of the program forbids the call.
bool ReadProgramMemory(uint64_t from, void* to, size_t bytes);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_MEMORY_H_
