#include "manuals.h"

namespace uzswap::cli {
namespace {

struct Manual {
  std::string_view command;
  std::string_view text;
};

constexpr Manual kManuals[] = {
#include "manuals.inc"  // made from docs/man by cmake/embed_manuals.cmake
};

}  // namespace

std::optional<std::string_view> ManualOf(std::string_view command) {
  for (const Manual& manual : kManuals) {
    if (manual.command == command) return manual.text;
  }
  return std::nullopt;
}

}  // namespace uzswap::cli
