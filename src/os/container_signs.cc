#include "os/container_signs.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "os/read_file.h"

namespace uzswap::os {
namespace {

constexpr size_t kNameMax = 32;

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool IsSet(const char* variable) { return variable != nullptr && variable[0] != '\0'; }

// The name goes to a terminal, and the file may have any content.
std::string CleanName(std::string_view text) {
  std::string name;
  for (const char character : text.substr(0, kNameMax)) {
    const bool plain = (character >= 'a' && character <= 'z') || character == '-' ||
                       (character >= 'A' && character <= 'Z') ||
                       (character >= '0' && character <= '9');
    if (!plain) break;
    name += character;
  }
  return name;
}

}  // namespace

ContainerVariables ReadContainerVariables() {
  return {getenv("container"), getenv("KUBERNETES_SERVICE_HOST")};
}

ContainerSigns FindContainer(const ContainerVariables& variables, const std::string& root) {
  constexpr char kServiceAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount";
  if (IsSet(variables.kubernetes_service_host)) return {"kubernetes", "KUBERNETES_SERVICE_HOST"};
  if (Exists(root + kServiceAccount)) return {"kubernetes", kServiceAccount};
  if (Exists(root + "/run/.containerenv")) return {"podman", "/run/.containerenv"};
  if (Exists(root + "/.dockerenv")) return {"docker", "/.dockerenv"};
  char buffer[128];
  constexpr char kSystemd[] = "/run/systemd/container";
  const auto written = ReadSmallFile((root + kSystemd).c_str(), buffer);
  if (written.ok()) {
    const std::string name = CleanName(written.value());
    if (!name.empty()) return {name, kSystemd};
  }
  if (IsSet(variables.container)) {
    const std::string name = CleanName(variables.container);
    if (!name.empty()) return {name, "the variable container"};
  }
  return {};
}

}  // namespace uzswap::os
