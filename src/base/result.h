// Result<T> and Error are the same inside the library and for its users.
#ifndef UZSWAP_BASE_RESULT_H_
#define UZSWAP_BASE_RESULT_H_

#include "base/check.h"
#include "uzswap/result.h"

#endif  // UZSWAP_BASE_RESULT_H_
