// The real uzswap, run as a user runs it, with a stub in place of the preload library.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "os/probe.h"
#include "testing/deadline.h"
#include "testing/uzswap.h"

namespace uzswap::cli {
namespace {

using Json = nlohmann::json;
using testing::Binary;
using testing::Contains;
using testing::Ended;
using testing::ExpectRefused;
using testing::Folder;
using testing::ReadFile;
using testing::Refused;
using testing::Running;
using testing::RunTest;
using testing::RunToEnd;
using testing::RunWords;
using testing::Uzswap;
using testing::Words;

Words ChildWords(const Words& mode) {
  Words words = {"--limit", "64M", "--", Binary("UZSWAP_CHILD")};
  words.insert(words.end(), mode.begin(), mode.end());
  return words;
}

TEST_F(RunTest, TheExitStatusAndOutputAreTheCommands) {
  for (const int status : {0, 1, 3, 124, 125, 126, 127, 255}) {
    const Ended ended = Uzswap({"--limit", "64M", "--", "sh", "-c",
                                "echo out; echo err >&2; exit " + std::to_string(status)});
    EXPECT_EQ(ended.status, status);
    EXPECT_EQ(ended.output, "out\n");
    EXPECT_EQ(ended.errors, "err\n");
  }
}

TEST_F(RunTest, DiesByTheSignalTheCommandDiedBy) {
  for (const int signal : {SIGTERM, SIGKILL, SIGINT, SIGSEGV, SIGUSR1, SIGPIPE}) {
    const Ended ended = Uzswap(ChildWords({"raise", std::to_string(signal)}));
    EXPECT_EQ(ended.signal, signal);
  }
  const Ended shell = RunToEnd({"sh", "-c", "\"$@\"; echo $?", "sh", Binary("UZSWAP_BINARY"), "run",
                                "--limit", "64M", "--", Binary("UZSWAP_CHILD"), "raise", "15"});
  EXPECT_EQ(shell.output, "143\n");
}

TEST_F(RunTest, SignalsReachTheCommandOnce) {
  for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGRTMIN}) {
    Running running(RunWords(ChildWords({"wait-signal"})));
    ASSERT_EQ(running.ReadLine(), "ready");
    kill(running.pid(), signal);
    EXPECT_EQ(running.Await().status, 100 + signal);
  }
}

TEST_F(RunTest, KillingTheRunnerKillsTheCommand) {
  Running running(RunWords(ChildWords({"wait-signal"})));
  ASSERT_EQ(running.ReadLine(), "ready");
  kill(running.pid(), SIGKILL);
  running.ReadToEnd();  // until the last process that has the pipe ends
  EXPECT_EQ(running.Await().signal, SIGKILL);
}

TEST_F(RunTest, TheCommandIsBornAsWithoutUzswap) {
  const std::string kLook = "grep -E 'SigBlk|SigIgn|SigCgt' /proc/self/status; ulimit -c";
  const Ended plain = RunToEnd({"sh", "-c", kLook});
  EXPECT_EQ(Uzswap({"--limit", "64M", "--", "sh", "-c", kLook}).output, plain.output);
  EXPECT_EQ(Uzswap(ChildWords({"open-descriptors"})).output,
            RunToEnd({Binary("UZSWAP_CHILD"), "open-descriptors"}).output);
  // The runner needs more descriptors than some commands may have.
  Words few = {"sh", "-c", "ulimit -Sn 5; exec \"$@\"", "sh"};
  const Words asks = RunWords({"--limit", "64M", "--", "sh", "-c", "ulimit -Sn"});
  few.insert(few.end(), asks.begin(), asks.end());
  EXPECT_EQ(RunToEnd(few).output, "5\n");
  // An ignored SIGCHLD is inherited. The runner must get its child's status all the same.
  const std::string kIgnored =
      "import os, signal, sys\n"
      "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
      "os.execv(sys.argv[1], sys.argv[1:])\n";
  if (access("/usr/bin/python3", X_OK) == 0) {
    Words words = {"/usr/bin/python3", "-c", kIgnored};
    const Words run = RunWords({"--limit", "64M", "--", "sh", "-c", "exit 9"});
    words.insert(words.end(), run.begin(), run.end());
    EXPECT_EQ(RunToEnd(words).status, 9);
  }
}

TEST_F(RunTest, TheEnvironmentCarriesWhatItMust) {
  const Ended ended =
      Uzswap({"--limit", "64M", "--codec", "zstd", "--", "env"},
             {"LD_PRELOAD=libm.so.6", "UZSWAP_SUMMARY=1", "UZSWAP_STATS=" + folder_.path() + "/s",
              "UZSWAP_METRICS=" + folder_.path() + "/m.prom"});
  EXPECT_TRUE(Contains(ended.output, "LD_PRELOAD=" + Binary("UZSWAP_PRELOAD") + ":libm.so.6\n"));
  EXPECT_TRUE(Contains(ended.output, "UZSWAP_LIMIT=67108864\n"));
  EXPECT_TRUE(Contains(ended.output, "UZSWAP_CODEC=zstd\n"));
  EXPECT_TRUE(Contains(ended.output, "UZSWAP_SESSION=/proc/"));
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_SUMMARY"));
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_STATS"));
  EXPECT_FALSE(Contains(ended.output, "UZSWAP_METRICS"));
  EXPECT_TRUE(Contains(ended.errors, "peak resident")) << ended.errors;
  EXPECT_EQ(Json::parse(ReadFile(folder_.path() + "/s"))["codec"], "zstd");
}

TEST_F(RunTest, StatisticsCountTheWholeTree) {
  const std::string path = folder_.path() + "/stats.json";
  const Ended ended = Uzswap(
      {"--limit", "64M", "--stats", path, "--", "sh", "-c", "env true; env true & wait; exit 5"});
  EXPECT_EQ(ended.status, 5);
  const Json json = Json::parse(ReadFile(path));
  EXPECT_EQ(json["running"], false);
  EXPECT_EQ(json["exit_status"], 5);
  EXPECT_TRUE(json["signal"].is_null());
  // sh; two forked children become env, then true: the stub claims at each exec.
  EXPECT_EQ(json["processes_seen"], 5);
  EXPECT_EQ(json["processes"].size(), 5u);
  EXPECT_EQ(json["zswpout"], 50);
  EXPECT_EQ(json["zswpout"].get<int>(), json["zswpin"].get<int>() +
                                            json["invalidated_pages"].get<int>() +
                                            json["stored_pages"].get<int>());
  EXPECT_EQ(json["at_exit"]["stored_pages"], 25);
  EXPECT_EQ(json["fault_ns"]["max"], 3000);
  EXPECT_GE(json["resident_bytes_peak"].get<uint64_t>(), uint64_t{32} << 20);
}

TEST_F(RunTest, AKilledCommandLeavesItsStatistics) {
  const std::string path = folder_.path() + "/stats.json";
  Words words = ChildWords({"raise", "9"});
  words.insert(words.begin(), {"--stats", path});
  EXPECT_EQ(Uzswap(words).signal, SIGKILL);
  const Json json = Json::parse(ReadFile(path));
  EXPECT_EQ(json["exit_status"], 137);
  EXPECT_EQ(json["signal"], 9);
  EXPECT_EQ(json["zswpout"], 10) << "the statistics of the killed process were added";
}

TEST_F(RunTest, StatisticsAreLive) {
  const std::string path = folder_.path() + "/stats.json";
  const int watch = inotify_init1(IN_CLOEXEC);
  ASSERT_GE(inotify_add_watch(watch, folder_.path().c_str(), IN_MOVED_TO), 0);
  Words words = ChildWords({"wait-input"});
  words.insert(words.begin(), {"--stats", path});
  Running running(RunWords(words));
  ASSERT_EQ(running.ReadLine(), "ready");
  ASSERT_TRUE(testing::Deadline().AwaitReadable(watch)) << "the runner wrote no statistics";
  close(watch);
  const Json live = Json::parse(ReadFile(path));
  EXPECT_EQ(live["running"], true);
  EXPECT_TRUE(live["exit_status"].is_null());
  EXPECT_EQ(live["processes"].at(0)["running"], true);
  running.CloseInput();
  EXPECT_EQ(running.Await().status, 0);
  EXPECT_EQ(Json::parse(ReadFile(path))["running"], false);
}

TEST_F(RunTest, TheMachinesMemoryMayBeExceededOnPaper) {
  const Ended ended = Uzswap({"--limit", "1T", "--", "echo", "fine"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.output, "fine\n");
  EXPECT_TRUE(Contains(ended.errors, "never be reached")) << ended.errors;
}

TEST_F(RunTest, AScriptWithoutAFirstLineGoesToTheShell) {
  const std::string script = folder_.File("script", "echo \"$0 $1\"\n");
  EXPECT_EQ(Uzswap({"--limit", "64M", "--", script, "x"}).output, script + " x\n");
}

TEST_F(RunTest, RunnersNest) {
  const std::string uzswap = Binary("UZSWAP_BINARY");
  const std::string path = folder_.path() + "/outer.json";
  const Ended ended = Uzswap(
      {"--limit", "64M", "--stats", path, "--", uzswap, "run", "--limit", "32M", "--", "env"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(Contains(ended.output, "UZSWAP_LIMIT=33554432\n"));
  EXPECT_TRUE(Contains(ended.output, "LD_PRELOAD=" + Binary("UZSWAP_PRELOAD") + "\n"));
  EXPECT_EQ(Json::parse(ReadFile(path))["command"][0], uzswap);
}

TEST_F(RunTest, BadSurroundingsAreRefused) {
  const Folder& f = folder_;
  const std::string echo = f.Copy("/bin/echo", "echo");
  const std::string setuid = f.Copy("/bin/echo", "setuid", 04755);
  const std::string closed = f.Copy("/bin/echo", "closed", 0644);
  const std::string script = f.File("script", "#!" + Binary("UZSWAP_STATIC_CHILD") + "\n");
  const Refused kTable[] = {
      {"static", {"--", Binary("UZSWAP_STATIC_CHILD")}, 125, "static binary", "dynamically"},
      {"script of static", {"--", script}, 125, "static binary", "dynamically"},
      {"setuid", {"--", setuid, "ran"}, 125, "setuid", "cp "},
      {"missing", {"--", "no-such-command"}, 127, "not found", ""},
      {"missing path", {"--", f.path() + "/none"}, 127, "not found", ""},
      {"not executable", {"--", closed, "ran"}, 126, "Permission denied", "chmod +x"},
      {"a folder", {"--", f.path()}, 126, "directory", ""},
      {"zero", {"--limit", "0", "--", echo, "ran"}, 125, "zero", "--limit 200M"},
      {"negative", {"--limit", "-1G", "--", echo, "ran"}, 125, "negative", "--limit 200M"},
      {"nonsense", {"--limit", "plenty", "--", echo, "ran"}, 125, "not a size", "--limit 200M"},
      {"unit", {"--limit", "5Q", "--", echo, "ran"}, 125, "unknown unit", "--limit 200M"},
      {"overflow", {"--limit", "99999999T", "--", echo, "ran"}, 125, "64 bits", "--limit 200M"},
      {"tiny", {"--limit", "1M", "--", echo, "ran"}, 125, "8.0 MiB", "--limit 200M"},
      {"codec", {"--codec", "x", "--", echo, "ran"}, 125, "not known", "lz4 or zstd"},
      {"pool", {"--pool", "x", "--", echo, "ran"}, 125, "not known", "zsmalloc or zbud"},
      {"stats", {"--stats", f.path() + "/no/s", "--", echo, "ran"}, 125, "--stats", "--stats /tmp"},
      {"nothing", {"--limit", "64M", "--"}, 125, "no command", "uzswap help run"},
  };
  for (const Refused& row : kTable) ExpectRefused(row);
}

TEST_F(RunTest, TooFewDescriptorsAreRefused) {
  Words words = {"sh", "-c", "ulimit -n 15; exec \"$@\"", "sh"};
  const Words run = RunWords({"--limit", "64M", "--", "echo", "ran"});
  words.insert(words.end(), run.begin(), run.end());
  const Ended ended = RunToEnd(words);
  EXPECT_EQ(ended.status, 125);
  EXPECT_EQ(ended.output, "");
  EXPECT_EQ(ended.errors,
            "uzswap: only 15 descriptors may be open here; uzswap needs 16\n"
            "  fix: raise the hard limit of descriptors (ulimit -Hn) where it was set\n");
}

TEST_F(RunTest, AMissingLibraryIsRefused) {
  const Ended ended = Uzswap({"--", "echo", "ran"}, {"UZSWAP_PRELOAD=/nowhere/lib.so"});
  EXPECT_EQ(ended.status, 125);
  EXPECT_EQ(ended.output, "");
  EXPECT_TRUE(Contains(ended.errors, "/nowhere/lib.so cannot be read")) << ended.errors;
}

TEST_F(RunTest, CheckAgreesWithRun) {
  const Ended ended = RunToEnd({Binary("UZSWAP_BINARY"), "check"});
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_TRUE(Contains(ended.output, "uzswap run works here")) << ended.output;
  EXPECT_TRUE(Contains(ended.output, "a process beside the program")) << ended.output;
}

// By default a user without privilege cannot open userfaultfd. The message names the fixes: the
// device and the sysctl.
TEST(NobodyTest, IsToldTheFix) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  if (access("/usr/bin/setpriv", X_OK) != 0) GTEST_SKIP() << "setpriv is not installed";
  const Folder folder;
  const std::string uzswap = folder.Copy(Binary("UZSWAP_BINARY"), "uzswap");
  const std::string library = folder.Copy(Binary("UZSWAP_PRELOAD"), "libstub.so");
  const Words nobody = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  const auto as_nobody = [&](const Words& words) {
    Words all = nobody;
    all.insert(all.end(), words.begin(), words.end());
    return RunToEnd(all, {"UZSWAP_PRELOAD=" + library});
  };
  const Ended run = as_nobody({uzswap, "run", "--limit", "64M", "--", "echo", "ran"});
  const Ended check = as_nobody({uzswap, "check"});
  if (os::LookAroundUserfaultfd().sysctl == 1 || access("/dev/userfaultfd", F_OK) != 0 ||
      run.status == 0) {
    GTEST_SKIP() << "userfaultfd is open to everybody here: " << run.errors;
  }
  EXPECT_EQ(run.status, 125);
  EXPECT_EQ(run.output, "");
  EXPECT_TRUE(Contains(run.errors, "not permitted to this user")) << run.errors;
  EXPECT_TRUE(Contains(run.errors, "sysctl vm.unprivileged_userfaultfd=1")) << run.errors;
  EXPECT_TRUE(Contains(run.errors, "/dev/userfaultfd")) << run.errors;
  EXPECT_EQ(check.status, 125);
  EXPECT_TRUE(Contains(check.output, "does not work here")) << check.output;
  const std::string closed = folder.Copy("/bin/echo", "closed", 0711);
  const Ended unreadable = as_nobody({uzswap, "run", "--limit", "64M", "--", closed, "ran"});
  EXPECT_EQ(unreadable.status, 125);
  EXPECT_TRUE(Contains(unreadable.errors, "cannot be read")) << unreadable.errors;
  // An error of the command is reported first.
  EXPECT_EQ(as_nobody({uzswap, "run", "--", "no-such-command"}).status, 127);
}

}  // namespace
}  // namespace uzswap::cli
