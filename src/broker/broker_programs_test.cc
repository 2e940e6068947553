// Real processes that gave up what their engine needs, and get it from a broker.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <string>

#include "base/testing/slowness.h"
#include "broker/broker_client.h"
#include "broker/broker_server.h"
#include "os/probe.h"
#include "os/uffd_abi.h"

namespace uzswap {
namespace {

const uint32_t kDeadlineMs = Slower<uint32_t>(60'000);
constexpr uint64_t kPresent = uint64_t{1} << 63;

int PidfdOf(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

bool EndsInTime(pid_t child) {
  os::WaitEntry ended[1] = {{PidfdOf(child)}};
  os::WaitReadable(ended, kDeadlineMs);
  os::CloseDescriptor(ended[0].descriptor);
  return ended[0].ready;
}

// A broker in a process of its own, as under `uzswap run`. The destructor kills it.
class BrokerUnderTest {
 public:
  BrokerUnderTest() : address_(std::move(BrokerServer::MakeAddress()).value()) {
    const int listener = std::move(BrokerServer::Listen(address_)).value();
    process_ = fork();
    UZ_CHECK(process_ >= 0);
    if (process_ == 0) {
      os::LinuxBrokerPort port;
      BrokerCounters counters;
      BrokerServer server(listener, address_, port, counters);
      server.Serve(-1, 600'000);
      _exit(0);
    }
    close(listener);
  }
  BrokerUnderTest(const BrokerUnderTest&) = delete;
  ~BrokerUnderTest() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] const BrokerAddress& address() const { return address_; }
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  BrokerAddress address_;
  pid_t process_ = -1;
};

// The exit status of a child that runs `body`. -1: killed, or not ended in time.
int StatusOfChild(const std::function<int()>& body) {
  const pid_t child = fork();
  UZ_CHECK(child >= 0);
  if (child == 0) _exit(body());
  if (!EndsInTime(child)) {
    ADD_FAILURE() << "the child did not end before the deadline";
    kill(child, SIGKILL);
  }
  int status = 0;
  UZ_CHECK_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A page that is present, and one that is not, as pagemap tells.
bool ReadsOwnPages(int pagemap) {
  auto* pages = static_cast<char*>(
      mmap(nullptr, 2 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  pages[0] = 1;
  uint64_t entries[2] = {};
  const auto offset =
      static_cast<off_t>(reinterpret_cast<uint64_t>(pages) / kPageSize * sizeof(uint64_t));
  if (pread(pagemap, entries, sizeof(entries), offset) != sizeof(entries)) return false;
  return (entries[0] & kPresent) != 0 && (entries[1] & kPresent) == 0;
}

// What an engine asks for: 0, or the number of the step that failed.
int AskForEverything(const BrokerAddress& address) {
  Result<BrokerClient> client = BrokerClient::Connect(address, kDeadlineMs);
  if (!client.ok()) return 10;
  const Result<int> pagemap = client.value().OpenProc(os::ProcLeaf::kPagemap);
  if (!pagemap.ok()) return 11;
  if (!ReadsOwnPages(pagemap.value())) return 12;
  const Result<int> statm = client.value().OpenProc(os::ProcLeaf::kStatm);
  char text[64] = {};
  if (!statm.ok() || read(statm.value(), text, sizeof(text)) <= 0) return 13;
  const int pidfd = PidfdOf(getpid());
  const Result<int> tasks = client.value().OpenTasks(pidfd);
  if (!tasks.ok()) return 14;
  const std::string own = std::to_string(getpid()) + "/comm";
  const int comm = openat(tasks.value(), own.c_str(), O_RDONLY);
  if (comm < 0 || read(comm, text, sizeof(text)) <= 0) return 15;
  if (!client.value().Offer(1, comm).ok() || !client.value().Take(1).ok()) return 16;
  return 0;
}

TEST(BrokerProgramsTest, AnOrdinaryClient) {
  const BrokerUnderTest broker;
  EXPECT_EQ(StatusOfChild([&] { return AskForEverything(broker.address()); }), 0);
}

class RootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "chroot and setresuid need root";
  }
  BrokerUnderTest broker_;
};

TEST_F(RootTest, AClientAfterChroot) {
  char folder[] = "/tmp/uzswap_broker_test_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  EXPECT_EQ(StatusOfChild([&] {
              if (chroot(folder) != 0 || chdir("/") != 0) return 1;
              if (access("/proc/self/statm", R_OK) == 0) return 2;
              return AskForEverything(broker_.address());
            }),
            0);
  rmdir(folder);
}

TEST_F(RootTest, AClientThatIsAnotherUserNow) {
  EXPECT_EQ(StatusOfChild([&] {
              if (setresgid(65534, 65534, 65534) != 0) return 1;
              if (setresuid(65534, 65534, 65534) != 0) return 2;
              // The process is not dumpable now, so its files in /proc belong to root.
              if (open("/proc/self/pagemap", O_RDONLY) >= 0) return 3;
              return AskForEverything(broker_.address());
            }),
            0);
}

TEST_F(RootTest, BothAndTheDevice) {
  if (access("/dev/userfaultfd", F_OK) != 0) GTEST_SKIP() << "this kernel has no device";
  char folder[] = "/tmp/uzswap_broker_test_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  EXPECT_EQ(StatusOfChild([&] {
              if (chroot(folder) != 0 || chdir("/") != 0) return 1;
              if (setresgid(65534, 65534, 65534) != 0) return 2;
              if (setresuid(65534, 65534, 65534) != 0) return 3;
              Result<BrokerClient> client = BrokerClient::Connect(broker_.address(), kDeadlineMs);
              if (!client.ok()) return 4;
              const Result<int> device = client.value().OpenUserfaultfd();
              if (!device.ok()) return 5;
              const int uffd = ioctl(device.value(), os::abi::kUffdioNew, O_CLOEXEC);
              if (uffd < 0) return 6;
              os::abi::UffdioApi api = {os::abi::kUffdApi, 0, 0};
              if (ioctl(uffd, os::abi::kUffdioApi, &api) != 0) return 7;
              return AskForEverything(broker_.address());
            }),
            0);
  rmdir(folder);
}

// A descriptor of a folder outside of the root directory would be a way out of it.
TEST_F(RootTest, TheTaskFolderIsNoWayOut) {
  EXPECT_EQ(StatusOfChild([&] {
              Result<BrokerClient> client = BrokerClient::Connect(broker_.address(), kDeadlineMs);
              if (!client.ok()) return 1;
              const Result<int> tasks = client.value().OpenTasks(PidfdOf(getpid()));
              if (!tasks.ok()) return 2;
              struct stat here = {};
              struct stat above = {};
              if (fstat(tasks.value(), &here) != 0) return 3;
              if (fstatat(tasks.value(), "..", &above, 0) != 0) return 4;
              return here.st_ino == above.st_ino ? 0 : 5;
            }),
            0);
}

// As the engine will be: a process of its own in the memory of the program.
struct Sibling {
  const BrokerAddress* address;
  pid_t program;
  pid_t stranger;
  int result;
};

int AskAsSibling(void* raw) {
  auto& sibling = *static_cast<Sibling*>(raw);
  Result<BrokerClient> client = BrokerClient::Connect(*sibling.address, kDeadlineMs);
  sibling.result = 1;
  if (!client.ok()) return 0;
  const Result<int> tasks = client.value().OpenTasks(PidfdOf(sibling.program));
  sibling.result = 2;
  if (!tasks.ok()) return 0;
  const std::string own = std::to_string(sibling.program);
  sibling.result = 3;
  if (faccessat(tasks.value(), own.c_str(), F_OK, 0) != 0) return 0;
  sibling.result = 4;
  const Result<int> stranger = client.value().OpenTasks(PidfdOf(sibling.stranger));
  if (stranger.ok() || stranger.error().errno_value != EPERM) return 0;
  const Result<int> pagemap = client.value().OpenProc(os::ProcLeaf::kPagemap);
  sibling.result = 5;
  if (!pagemap.ok() || !ReadsOwnPages(pagemap.value())) return 0;
  sibling.result = 0;
  return 0;
}

TEST(BrokerProgramsTest, ASiblingAsksForItsProgram) {
  const BrokerUnderTest broker;
  // In a child, because the sibling shares the C library's state with its program.
  EXPECT_EQ(StatusOfChild([&] {
              static char stack[256 << 10];
              Sibling sibling{&broker.address(), getpid(), broker.process(), -1};
              const pid_t made =
                  clone(AskAsSibling, stack + sizeof(stack), CLONE_VM | SIGCHLD, &sibling);
              if (made < 0) return 20;
              if (waitpid(made, nullptr, 0) != made) return 21;
              return sibling.result < 0 ? 22 : sibling.result;
            }),
            0);
}

TEST(BrokerProgramsTest, AKilledBrokerRefusesAtOnce) {
  std::optional<BrokerUnderTest> broker(std::in_place);
  const BrokerAddress address = broker->address();
  Result<BrokerClient> client = BrokerClient::Connect(address, kDeadlineMs);
  ASSERT_TRUE(client.ok());
  broker.reset();
  const int failure = client.value().OpenUserfaultfd().error().errno_value;
  EXPECT_TRUE(failure == EPIPE || failure == ECONNRESET) << failure;
  EXPECT_EQ(BrokerClient::Connect(address).error().errno_value, ECONNREFUSED);
}

}  // namespace
}  // namespace uzswap
