// The failures of a device, for tests that inject each of them into every call. See
// os/testing/fake_io_port.h.
#ifndef UZSWAP_OS_TESTING_IO_STORIES_H_
#define UZSWAP_OS_TESTING_IO_STORIES_H_

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "os/testing/fake_io_port.h"

namespace uzswap::os {

struct IoStory {
  const char* name;
  IoFault fault;
  int error;
  bool sticky;
};

inline constexpr IoStory kIoStories[] = {
    {"eio", IoFault::kError, EIO, false},
    {"eio_for_ever", IoFault::kError, EIO, true},
    {"enospc", IoFault::kError, ENOSPC, false},
    {"enospc_for_ever", IoFault::kError, ENOSPC, true},
    {"short_write", IoFault::kShortWrite, EIO, false},
    {"short_write_full", IoFault::kShortWrite, ENOSPC, false},
    {"torn", IoFault::kTorn, 0, false},
    {"flipped_bit", IoFault::kFlippedBit, 0, false},
    {"truncated", IoFault::kTruncated, 0, false},
    {"truncated_for_ever", IoFault::kTruncated, 0, true},
    {"vanished", IoFault::kVanished, ENODEV, true},
};

// The next call after `call` into which a test injects a failure: every call up to `first_ones`,
// then every `stride`-th. With UZSWAP_TEST_EVERY_CALL in the environment every call, which takes
// minutes.
inline uint64_t NextFailingCall(uint64_t call, uint64_t first_ones, uint64_t stride) {
  static const bool every = getenv("UZSWAP_TEST_EVERY_CALL") != nullptr;
  return every || call < first_ones ? call + 1 : call + stride;
}

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_IO_STORIES_H_
