// The error that the C interface keeps for uzswap_error_text, one for each thread.
#ifndef UZSWAP_LIBRARY_C_INTERFACE_ERROR_H_
#define UZSWAP_LIBRARY_C_INTERFACE_ERROR_H_

#include "uzswap.h"
#include "uzswap/result.h"

namespace uzswap {

// Returns what the function returns: EINVAL is an option that makes no sense.
uzswap_status RememberError(Error error);

}  // namespace uzswap

#endif  // UZSWAP_LIBRARY_C_INTERFACE_ERROR_H_
