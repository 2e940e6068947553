// Descriptors of a process that was forked from the runner or from the broker.
#ifndef UZSWAP_APPS_CLI_DESCRIPTORS_H_
#define UZSWAP_APPS_CLI_DESCRIPTORS_H_

#include <initializer_list>

namespace uzswap::cli {

// Standard input, output and error become /dev/null: a pipe of the runner would stay open.
void TakeNullDevice();
// Closes all descriptors but these and the standard ones.
void CloseAllBut(std::initializer_list<int> kept);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_DESCRIPTORS_H_
