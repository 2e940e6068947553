// ContainerNeeds: what the command line or the file of a container lacks for uzswap.
//
//   probe, surroundings ─┐
//   device file, user    ├──> ContainerNeeds ──> lines for podman and docker, compose, Kubernetes
//   memory limit         ┘
//
// In a container the needs are what is missing there. Outside they are all lines that a container
// on this machine needs. Pure: one machine can test all cases.
#ifndef UZSWAP_APPS_CLI_CONTAINER_NEEDS_H_
#define UZSWAP_APPS_CLI_CONTAINER_NEEDS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "os/container_signs.h"
#include "os/probe.h"

namespace uzswap::cli {

// /dev/userfaultfd as this process sees it.
struct DeviceFile {
  gid_t group = 0;
  bool group_may_write = false;
};

struct ContainerFacts {
  os::ContainerSigns signs;  // no runtime: this is not a container
  os::UffdProbe probe;
  os::UffdSurroundings around;
  DeviceFile device;
  uid_t user = 0;
  bool memory_limited = false;  // a cgroup limit was found

  [[nodiscard]] bool in_container() const { return !signs.runtime.empty(); }
};
ContainerFacts LookAtContainer(const os::UffdProbe& probe, const os::UffdSurroundings& around,
                               bool memory_limited);

// An empty line does not apply.
struct ContainerNeed {
  std::string what;
  std::string command_line;  // an option of `podman run` and `docker run`
  std::string compose;       // below the service in compose.yaml
  std::string kubernetes;    // below the container in the manifest of a pod
  std::string host;          // a command on the host, as root
  bool required = true;      // false: uzswap works without it
};
std::vector<ContainerNeed> ContainerNeeds(const ContainerFacts& facts);

// The text that `uzswap check --container` prints after its report.
std::string RenderContainerNeeds(const ContainerFacts& facts);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_CONTAINER_NEEDS_H_
