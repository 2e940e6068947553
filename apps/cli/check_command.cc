#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "container_needs.h"
#include "launch.h"
#include "limit.h"
#include "os/cgroup.h"
#include "os/probe.h"
#include "os/program_watch.h"
#include "os/thread.h"
#include "run_command.h"
#include "surroundings.h"

namespace uzswap::cli {
namespace {

void Line(const char* label, const std::string& value) {
  printf("  %-22s %s\n", label, value.c_str());
}

std::string Opened(int failure) {
  return failure == 0 ? "yes" : std::string("no (") + strerror(failure) + ")";
}

const char* YesNo(bool yes) { return yes ? "yes" : "no"; }

void PrintUserfaultfd(const os::UffdProbe& probe, const os::UffdSurroundings& around) {
  Line("userfaultfd, call", Opened(probe.call_errno));
  Line("userfaultfd, device", Opened(probe.device_errno));
  Line("  sysctl", around.sysctl ? "vm.unprivileged_userfaultfd = " + std::to_string(*around.sysctl)
                                 : "vm.unprivileged_userfaultfd does not exist");
  if (around.seccomp_filter) Line("  seccomp", "a filter is active");
  if (!probe.reachable()) {
    Line("UFFDIO_MOVE, events", "unknown, because userfaultfd cannot be opened");
    return;
  }
  constexpr uint64_t kEvents = os::kUffdFeaturesNeeded & ~os::abi::kUffdFeatureMove;
  Line("UFFDIO_MOVE", YesNo((probe.features & os::abi::kUffdFeatureMove) != 0));
  Line("events", YesNo((probe.features & kEvents) == kEvents));
}

// Whether an engine can be a process of its own that shares the program's memory.
std::string EngineHomeHere() {
  // It becomes a child of this process, which reaps it: the first process of a container may not.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const auto end_at_once = [](void*) { os::EndProcess(); };
  const Result<uint32_t> started =
      os::StartServiceThread(end_at_once, nullptr, os::ServiceHome::kSibling, "uzswap-check");
  if (started.ok()) {
    waitpid(static_cast<pid_t>(started.value()), nullptr, __WALL);
    return "a process beside the program";
  }
  return std::string("threads in the program (a process beside it: ") +
         strerror(started.error().errno_value) + ")";
}

void PrintMemory(const os::CgroupLimits& limits) {
  Line("memory", Human(os::MachineMemory()));
  for (const os::CgroupLimit& limit : limits.found) {
    Line("cgroup limit", Human(limit.bytes) + " (" + limit.file + ")");
  }
  if (limits.hidden) {
    Line("cgroup limit", "may be hidden: /sys/fs/cgroup shows another cgroup namespace");
  } else if (limits.found.empty()) {
    Line("cgroup limit", "none");
  }
  const auto automatic = DecideLimit("auto", os::Tightest(limits.found), os::MachineMemory());
  if (const auto* decision = std::get_if<LimitDecision>(&automatic)) {
    Line("--limit auto", Human(decision->limit));
  } else {
    Line("--limit auto", "not possible here");
  }
}

}  // namespace

int CheckCommand(const CheckRequest& request) {
  const os::UffdProbe probe = os::ProbeUserfaultfd();
  const os::UffdSurroundings around = os::LookAroundUserfaultfd();
  const std::string kernel = os::ReadKernelRelease().c_str();
  const auto preload = FindPreloadLibrary();
  const os::CgroupLimits limits = os::FindCgroupLimits();

  printf("uzswap on this machine:\n");
  Line("kernel", kernel);
  PrintUserfaultfd(probe, around);
  Line("PAGEMAP_SCAN", YesNo(os::ProbePagemapScan()));
  Line("engine", EngineHomeHere());
  PrintMemory(limits);
  const Refusal* missing = RefusalOf(preload);
  Line("preload library", missing != nullptr ? "not found" : std::get<std::string>(preload));

  const auto refusal = CheckUserfaultfd(probe, around, kernel);
  const bool works = !refusal && missing == nullptr;
  printf(works ? "uzswap run works here.\n" : "uzswap run does not work here.\n");
  if (request.container) {
    const auto facts = LookAtContainer(probe, around, !limits.found.empty());
    fputs(RenderContainerNeeds(facts).c_str(), stdout);
  }
  if (works) return 0;
  fflush(stdout);
  if (refusal) fputs(Render(*refusal).c_str(), stderr);
  if (missing != nullptr) fputs(Render(*missing).c_str(), stderr);
  return kCannotDo;
}

}  // namespace uzswap::cli
