// Random bytes from the kernel, for addresses and secrets.
//
// Only raw system calls. Any thread of any process may call this.
#ifndef UZSWAP_OS_RANDOM_H_
#define UZSWAP_OS_RANDOM_H_

#include <cstddef>
#include <span>

#include "base/result.h"

namespace uzswap::os {

// Fills all of `bytes`, or fails. Requires: at most 256 bytes, so that the kernel returns all of
// them.
Result<void> FillRandom(std::span<std::byte> bytes);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_RANDOM_H_
