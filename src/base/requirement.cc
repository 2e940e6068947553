#include "base/check.h"
#include "uzswap/result.h"

namespace uzswap::internal {

// A file of its own: the shared library exports it, and nothing else of this folder.
void RequirementFailed(const char* what) { Panic("uzswap", 0, what); }

}  // namespace uzswap::internal
