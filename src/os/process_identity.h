// ProcessIdentity: which process, beyond its number.
//
//   pid            reused by the kernel as soon as a process is reaped
//   start_time     clock ticks since boot, field 22 of /proc/PID/stat: tells reuse apart
//   pid_namespace  inode of /proc/PID/ns/pid: a pid means something only inside one
//
// Raw system calls only; any thread of any process may call these. Where /proc is not mounted
// start_time and pid_namespace are 0 and liveness falls back to asking for the pid alone.
#ifndef UZSWAP_OS_PROCESS_IDENTITY_H_
#define UZSWAP_OS_PROCESS_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace uzswap::os {

struct ProcessIdentity {
  uint32_t pid = 0;
  uint64_t start_time = 0;
  uint64_t pid_namespace = 0;

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

ProcessIdentity OwnIdentity();

enum class Liveness : uint8_t {
  kAlive,
  kDead,     // no such process, a zombie, or another one with this pid
  kUnknown,  // it lives in another pid namespace: its pid says nothing here
};

// `own_namespace` is OwnIdentity().pid_namespace, which a caller asking often keeps.
Liveness Probe(const ProcessIdentity& process, uint64_t own_namespace);

// What /proc/PID/stat says. Nothing if the text is not of that form. The command name in it may
// hold blanks and brackets.
struct ProcessStat {
  char state = '?';  // of the first thread: 'Z' also when only that one has ended
  uint64_t threads = 0;
  uint64_t start_time = 0;
};
std::optional<ProcessStat> ParseProcessStat(std::string_view text);

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROCESS_IDENTITY_H_
