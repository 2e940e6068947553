// The manual pages of the commands, as text. docs/man is their only source: the same pages are
// installed for man(1).
#ifndef UZSWAP_APPS_CLI_MANUALS_H_
#define UZSWAP_APPS_CLI_MANUALS_H_

#include <optional>
#include <string_view>

namespace uzswap::cli {

// Of a command; of uzswap itself if `command` is empty. Nothing if there is no such command.
std::optional<std::string_view> ManualOf(std::string_view command);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_MANUALS_H_
