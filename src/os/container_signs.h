// FindContainer: which container this process runs in, by the signs that runtimes leave.
//
//   /run/.containerenv                                podman
//   /.dockerenv                                       docker
//   /var/run/secrets/kubernetes.io/serviceaccount     kubernetes (also KUBERNETES_SERVICE_HOST)
//   /run/systemd/container, the variable `container`  the name that the runtime wrote there
//
// Kubernetes is looked for first, because its containers have the signs of their runtime too. A
// container without any sign is not found. Allocates: only for tools, not for the engine.
#ifndef UZSWAP_OS_CONTAINER_SIGNS_H_
#define UZSWAP_OS_CONTAINER_SIGNS_H_

#include <string>

namespace uzswap::os {

// The values of two variables of the environment; nullptr if unset.
struct ContainerVariables {
  const char* container = nullptr;
  const char* kubernetes_service_host = nullptr;
};
ContainerVariables ReadContainerVariables();

struct ContainerSigns {
  std::string runtime;  // "docker", "podman", "kubernetes", ...; empty: no sign was found
  std::string sign;     // the file or the variable
};

// `root` is prepended to all paths, so that tests can use their own file tree.
ContainerSigns FindContainer(const ContainerVariables& variables, const std::string& root = "");

}  // namespace uzswap::os

#endif  // UZSWAP_OS_CONTAINER_SIGNS_H_
