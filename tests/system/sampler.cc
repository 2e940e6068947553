// sampler: measures the anonymous memory of a process tree 1,000 times a second until standard
// input ends, then prints one line of JSON.
//
//   sampler --cgroup FOLDER [--over BYTES]    the processes of a memory cgroup, version 1 or 2
//   sampler --pid PID [--over BYTES]          a process and its descendants
//
//   peak_process_anon   the largest RssAnon (as resident - shared of statm) of any one process
//   peak_sum_anon       the largest sum over the processes; counts pages shared by fork twice
//   peak_cgroup_anon    the largest anonymous memory charged to the cgroup; counts them once
//   samples_over        samples in which the cgroup, or a process, was above BYTES
//
// The tick is a sampling interval; nothing waits for it.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr int kTickMs = 1;
constexpr uint64_t kTicksPerStat = 5;
constexpr uint64_t kTicksPerTree = 20;

std::string ReadAll(int descriptor) {
  char buffer[16384];
  const ssize_t size = pread(descriptor, buffer, sizeof(buffer) - 1, 0);
  return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : std::string();
}

std::string ReadFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return {};
  std::string text = ReadAll(descriptor);
  close(descriptor);
  return text;
}

std::vector<int> Numbers(const std::string& text) {
  std::vector<int> numbers;
  const char* at = text.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    const long number = std::strtol(at, &end, 10);
    if (end == at) break;
    numbers.push_back(static_cast<int>(number));
    at = end;
    while (*at == ' ' || *at == '\n') ++at;
  }
  return numbers;
}

void AddDescendants(int pid, std::vector<int>& found) {
  found.push_back(pid);
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  DIR* folder = opendir(tasks.c_str());
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    for (const int child : Numbers(ReadFile(tasks + "/" + entry->d_name + "/children"))) {
      AddDescendants(child, found);
    }
  }
  closedir(folder);
}

// The statm files of the processes, kept open: opening them takes most of the time.
class Processes {
 public:
  void Follow(const std::vector<int>& pids) {
    for (auto it = descriptors_.begin(); it != descriptors_.end();) {
      const bool gone = std::find(pids.begin(), pids.end(), it->first) == pids.end();
      if (gone) close(it->second);
      it = gone ? descriptors_.erase(it) : std::next(it);
    }
    for (const int pid : pids) {
      if (descriptors_.count(pid) != 0) continue;
      const std::string path = "/proc/" + std::to_string(pid) + "/statm";
      const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (descriptor >= 0) descriptors_[pid] = descriptor;
    }
  }

  // Returns the largest figure of one process.
  uint64_t Sample() {
    uint64_t sum = 0;
    uint64_t largest = 0;
    for (const auto& [pid, descriptor] : descriptors_) {
      unsigned long size = 0;
      unsigned long resident = 0;
      unsigned long shared = 0;
      const std::string text = ReadAll(descriptor);
      if (std::sscanf(text.c_str(), "%lu %lu %lu", &size, &resident, &shared) != 3) continue;
      const uint64_t anon = (resident - shared) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
      sum += anon;
      largest = std::max(largest, anon);
    }
    peak_process = std::max(peak_process, largest);
    peak_sum = std::max(peak_sum, sum);
    return largest;
  }

  uint64_t peak_process = 0;
  uint64_t peak_sum = 0;

 private:
  std::map<int, int> descriptors_;
};

// "total_rss 123" of version 1, "anon 123" of version 2.
uint64_t AnonOf(const std::string& stat) {
  for (const char* key : {"\ntotal_rss ", "\nanon ", "anon "}) {
    const size_t at = stat.find(key);
    if (at != std::string::npos) return std::strtoull(&stat[at + std::strlen(key)], nullptr, 10);
  }
  return 0;
}

bool InputEnds() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, kTickMs) <= 0) return false;
  char byte = 0;
  return read(STDIN_FILENO, &byte, 1) <= 0;
}

double NowSeconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && (argc != 5 || std::strcmp(argv[3], "--over") != 0)) {
    std::fprintf(stderr, "usage: sampler --cgroup FOLDER | --pid PID [--over BYTES]\n");
    return 2;
  }
  const uint64_t allowed = argc == 5 ? std::strtoull(argv[4], nullptr, 10) : UINT64_MAX;
  const bool by_cgroup = std::strcmp(argv[1], "--cgroup") == 0;
  const std::string folder = argv[2];
  const std::string procs = folder + "/cgroup.procs";
  const int stat = by_cgroup ? open((folder + "/memory.stat").c_str(), O_RDONLY) : -1;
  signal(SIGINT, SIG_IGN);

  Processes processes;
  uint64_t cgroup = 0;
  uint64_t peak_cgroup = 0;
  uint64_t ticks = 0;
  uint64_t over = 0;
  const double start = NowSeconds();
  while (!InputEnds()) {
    if (by_cgroup) {
      // Opened anew each time: version 1 keeps the first answer for an open file.
      processes.Follow(Numbers(ReadFile(procs)));
      if (ticks % kTicksPerStat == 0) cgroup = AnonOf(ReadAll(stat));
      peak_cgroup = std::max(peak_cgroup, cgroup);
    } else if (ticks % kTicksPerTree == 0) {
      std::vector<int> tree;
      AddDescendants(std::atoi(folder.c_str()), tree);
      processes.Follow(tree);
    }
    if (std::max(processes.Sample(), cgroup) > allowed) ++over;
    ++ticks;
  }
  std::printf("{\"peak_process_anon\": %" PRIu64 ", \"peak_sum_anon\": %" PRIu64
              ", \"peak_cgroup_anon\": %" PRIu64 ", \"samples\": %" PRIu64
              ", \"samples_over\": %" PRIu64 ", \"samples_per_second\": %.0f}\n",
              processes.peak_process, processes.peak_sum, peak_cgroup, ticks, over,
              static_cast<double>(ticks) / (NowSeconds() - start + 1e-9));
  return 0;
}
