#include "container_needs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace uzswap::cli {
namespace {

constexpr char kDevice[] = "/dev/userfaultfd";
// How a user namespace shows a group that it does not have.
constexpr gid_t kOverflowGroup = 65534;
// Kubernetes gives devices to pods through plugins; contrib/containers has the plugin's settings.
constexpr char kDeviceResource[] = "resources: {limits: {squat.ai/userfaultfd: 1}}";

ContainerNeed NeedDevice() {
  return {std::string("the device ") + kDevice, std::string("--device ") + kDevice,
          std::string("devices: [\"") + kDevice + "\"]", kDeviceResource, ""};
}

// Runtimes let a bind mount show the file, and the device controller still refuses it.
ContainerNeed NeedDeviceRule() {
  ContainerNeed need = NeedDevice();
  need.what = std::string(kDevice) +
              " as a device: it is there, but the container's device rules"
              " forbid it";
  return need;
}

ContainerNeed NeedGroup(const ContainerFacts& facts) {
  ContainerNeed need;
  const DeviceFile& device = facts.device;
  const std::string user = std::to_string(facts.user);
  need.what = std::string("permission to write to ") + kDevice + " for user " + user;
  if (device.group == kOverflowGroup) {
    need.what += ": its group is not mapped in this user namespace";
    need.command_line = "--group-add keep-groups";
  } else if (device.group_may_write && device.group != 0) {
    const std::string group = std::to_string(device.group);
    need.command_line = "--group-add " + group;
    need.compose = "group_add: [\"" + group + "\"]";
    need.kubernetes = "securityContext: {supplementalGroups: [" + group + "]}   (of the pod)";
    return need;
  } else {
    need.command_line = "--group-add $(getent group uzswap | cut -d: -f3)";
  }
  need.host = std::string("groupadd --system --force uzswap && chgrp uzswap ") + kDevice +
              " && chmod 660 " + kDevice + "   (the udev rule of the package keeps it so)";
  return need;
}

ContainerNeed NeedMemoryLimit() {
  return {"a memory limit, from which uzswap takes its own limit",
          "--memory 512m --memory-swap 512m",
          "mem_limit: 512m",
          "resources: {limits: {memory: 512Mi}}",
          "",
          false};
}

void AddPermission(const ContainerFacts& facts, std::vector<ContainerNeed>& needs) {
  if (!facts.in_container()) {
    needs.push_back(NeedDevice());
    return;
  }
  if (facts.probe.reachable()) return;
  switch (facts.probe.device_errno) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      needs.push_back(NeedDevice());
      return;
    case EACCES:
      needs.push_back(NeedGroup(facts));
      return;
    case EPERM:
      needs.push_back(NeedDeviceRule());
      return;
    default:
      return;  // the report has the cause
  }
}

void AppendLine(std::string& text, const char* label, const std::string& line) {
  if (line.empty()) return;
  text += "    ";
  text += label;
  text += line + "\n";
}

std::string Render(const ContainerNeed& need) {
  std::string text = "  " + need.what + (need.required ? "\n" : " (optional)\n");
  AppendLine(text, "podman, docker   ", need.command_line);
  AppendLine(text, "compose          ", need.compose);
  AppendLine(text, "kubernetes       ", need.kubernetes);
  AppendLine(text, "on the host      ", need.host);
  return text;
}

}  // namespace

ContainerFacts LookAtContainer(const os::UffdProbe& probe, const os::UffdSurroundings& around,
                               bool memory_limited) {
  ContainerFacts facts;
  facts.signs = os::FindContainer(os::ReadContainerVariables());
  facts.probe = probe;
  facts.around = around;
  facts.user = geteuid();
  facts.memory_limited = memory_limited;
  struct stat status = {};
  if (stat(kDevice, &status) == 0) {
    facts.device = {status.st_gid, (status.st_mode & S_IWGRP) != 0};
  }
  return facts;
}

std::vector<ContainerNeed> ContainerNeeds(const ContainerFacts& facts) {
  std::vector<ContainerNeed> needs;
  // No line of a container can replace the kernel.
  const bool kernel_is_new_enough =
      facts.probe.reachable() ? facts.probe.sufficient() : facts.around.pagemap_scan;
  if (!kernel_is_new_enough) return needs;
  AddPermission(facts, needs);
  if (!facts.memory_limited || !facts.in_container()) needs.push_back(NeedMemoryLimit());
  return needs;
}

std::string RenderContainerNeeds(const ContainerFacts& facts) {
  const std::vector<ContainerNeed> needs = ContainerNeeds(facts);
  std::string text;
  if (facts.in_container()) {
    text = "container: " + facts.signs.runtime + " (" + facts.signs.sign + ")\n";
    text += !needs.empty()             ? "The container lacks:\n"
            : facts.probe.sufficient() ? "The container has what uzswap needs.\n"
                                       : "No setting of the container helps here.\n";
  } else {
    text = "This is not a container, as far as can be seen.\n";
    text += needs.empty() ? "With this kernel uzswap cannot run in a container either.\n"
                          : "A container on this machine needs:\n";
  }
  for (const ContainerNeed& need : needs) text += Render(need);
  return text;
}

}  // namespace uzswap::cli
