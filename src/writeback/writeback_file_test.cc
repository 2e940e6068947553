// Writeback to real files, through every kind of port: what is on the medium, and how much.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "cache/testing/cache_fixture.h"
#include "os/backing_port.h"
#include "writeback/testing/writeback_peer.h"
#include "writeback/writeback.h"

namespace uzswap {
namespace {

constexpr uint64_t kPages = 4000;

uint64_t VersionOf(uint64_t offset) { return offset * kPageKinds + (offset % 2 == 0 ? 2 : 3); }

std::string Directory() {
  const char* directory = getenv("TMPDIR");
  return directory != nullptr ? directory : "/var/tmp";
}

// Forbids io_uring for this process, as containers do.
void ForbidUring() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {4, filter};
  UZ_CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  UZ_CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

class FileRig : public CacheFixture {
 public:
  explicit FileRig(bool encrypt = false) {
    UZ_CHECK(backing.Open(Directory().c_str()).ok());
    BackingOptions options;
    options.encrypt = encrypt;
    UZ_CHECK(file_store.Init(backing.port(), cache, options).ok());
    UZ_CHECK(writeback.Init(cache, context, &file_store, {}).ok());
  }
  ~FileRig() {
    writeback.WaitForWrites();
    cache.DestroyArea(context, area);
    area = kNoArea;
  }
  void Fill() {
    for (uint64_t i = 0; i < kPages; ++i) {
      UZ_CHECK(Put(i, VersionOf(i)) == StoreOutcome::kStored);
    }
  }
  uint64_t CountReadable() {
    uint64_t readable = 0;
    for (uint64_t i = 0; i < kPages; ++i) readable += Is(i, VersionOf(i)) ? 1 : 0;
    return readable;
  }

  os::BackingPort backing;
  BackingStore file_store;
  Writeback writeback;
};

TEST(WritebackFileTest, TheFileGrowsWithWhatIsWrittenAndShrinksWithWhatDies) {
  FileRig rig;
  EXPECT_EQ(rig.file_store.file_bytes(), 0u) << "nothing is allocated ahead";
  rig.Fill();
  EXPECT_EQ(rig.file_store.file_bytes(), 0u);
  ASSERT_TRUE(rig.writeback.Shrink(0));
  const BackingCounters& counters = rig.file_store.counters();
  EXPECT_LE(rig.file_store.file_bytes(), counters.bytes_written.Get() + (256 << 10));
  EXPECT_GE(rig.file_store.file_bytes(), counters.payload_bytes.Get());
  EXPECT_EQ(rig.CountReadable(), kPages);
  for (uint64_t i = 0; i < kPages; ++i) {
    if (i % 5 != 0) rig.cache.Invalidate(rig.context, rig.At(i));
  }
  WritebackPeer::CleanStore(rig.writeback);
  CacheCounters& sum = rig.Counted();
  const uint64_t on_disk = sum.disk_in.Get() - sum.disk_out.Get();
  const uint64_t payload = rig.file_store.segments().live_bytes() - on_disk * sizeof(RecordHeader);
  // Beside the tenth: the segment that was being filled when cleaning ended.
  EXPECT_LE(static_cast<double>(rig.file_store.file_bytes()),
            1.1 * static_cast<double>(payload) + (256 << 10));
  EXPECT_EQ(rig.CountReadable(), kPages / 5);
}

TEST(WritebackFileTest, NothingReadableIsLeftInASealedFile) {
  for (const bool encrypt : {false, true}) {
    FileRig rig(encrypt);
    // Incompressible, so that a plain store has the very bytes.
    ASSERT_EQ(rig.Put(1, 4), StoreOutcome::kStored);
    ASSERT_TRUE(rig.writeback.Shrink(0));
    std::vector<std::byte> raw(4 << 20);
    void* start = raw.data();
    size_t space = raw.size();
    ASSERT_NE(std::align(4096, 8192, start, space), nullptr);
    const std::span<std::byte> window(static_cast<std::byte*>(start), 16384);
    ASSERT_GT(rig.backing.port().Read(0, window), 4096);
    const TestPage page = PageOf(4);
    const auto found =
        std::search(window.begin(), window.end(), page.bytes.begin(), page.bytes.begin() + 64);
    EXPECT_EQ(found == window.end(), encrypt);
    EXPECT_TRUE(rig.Is(1, 4));
  }
}

TEST(WritebackFileTest, WhereUringIsForbiddenTheWriterWritesItself) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // a child that hangs is killed, and the test fails
    ForbidUring();
    FileRig rig;
    bool good = std::string(rig.backing.port().name()) == "threads";
    rig.Fill();
    good = good && rig.writeback.Shrink(kPages / 4 * kPageSize);
    good = good && rig.writeback.Shrink(0);
    good = good && rig.CountReadable() == kPages;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// The device never completes a request; operations on other pages do not wait for it.
TEST(WritebackFileTest, AHangingDeviceStopsNobodyElse) {
  CacheFixture fixture;
  Writeback writeback;
  CacheContext writer;
  ASSERT_TRUE(writer.Init(fixture.cache).ok());
  ASSERT_TRUE(writeback.Init(fixture.cache, writer, &fixture.store, {}).ok());
  fixture.port.Hold();
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(fixture.Put(i, VersionOf(i)), StoreOutcome::kStored);
  }
  while (writeback.Step() == StepOutcome::kWorked && fixture.store.in_flight() < 4) {
  }
  EXPECT_EQ(fixture.store.in_flight(), 4u);
  // On one thread: a single wait for the device would never end. Includes pages being written.
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_TRUE(fixture.Is(i, VersionOf(i)));
    if (i % 3 == 0) {
      ASSERT_EQ(fixture.Get(i, LoadMode::kExclusive), LoadOutcome::kLoaded);
    } else if (i % 3 == 1) {
      ASSERT_EQ(fixture.Put(i, VersionOf(i)), StoreOutcome::kStored);
    } else {
      ASSERT_TRUE(fixture.cache.Invalidate(fixture.context, fixture.At(i)));
    }
    if (i % 100 == 0) static_cast<void>(writeback.Step());
  }
  fixture.port.Release();
  writeback.WaitForWrites();
  fixture.cache.Audit();
  EXPECT_GT(fixture.Counted().writes_lost.Get(), 100u);
}

}  // namespace
}  // namespace uzswap
