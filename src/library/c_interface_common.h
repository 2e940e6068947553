// What the functions of the C interface have in common.
#ifndef UZSWAP_LIBRARY_C_INTERFACE_COMMON_H_
#define UZSWAP_LIBRARY_C_INTERFACE_COMMON_H_

#include <algorithm>
#include <cstring>

#include "uzswap.h"
#include "uzswap/result.h"

namespace uzswap {

// For uzswap_error_text, one for each thread. Returns what the function returns: EINVAL is an
// option that makes no sense.
uzswap_status RememberError(Error error);

// Fills as much of *statistics as its struct_bytes says, which stays as it is.
template <typename Statistics>
void FillStatistics(Statistics* statistics, Statistics all) {
  all.struct_bytes = statistics->struct_bytes;
  memcpy(statistics, &all, std::min(statistics->struct_bytes, sizeof(all)));
}

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_C_INTERFACE_COMMON_H_
