// The storage stack in forked processes. Children start threads, which ThreadSanitizer does not
// support after a fork of a process with several threads: this is no test of its preset.
#include <unistd.h>

#include <cerrno>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

#include "backing/testing/store_fixture.h"
#include "os/testing/temp_directory.h"
#include "swap/testing/storage_rig.h"

namespace uzswap {
namespace {

class StorageStackFork : public testing::TestWithParam<PoolKind> {
 protected:
  StorageOptions OptionsWithFile() {
    StorageOptions options;
    options.memory_limit = kMemory;
    options.pool = GetParam();
    options.backing.path = directory_.path().c_str();
    return options;
  }

  os::TempDirectory directory_;
};

// Some of the pages are on disk and some in the pool. Before the child loads anything, the parent
// has freed them all and written others.
TEST_P(StorageStackFork, AChildLoadsWhatTheParentWrote) {
  Rig rig(OptionsWithFile());
  std::vector<SwapSlot> slots = rig.Fill(300);
  ASSERT_TRUE(rig.EmptyPool());
  for (uint64_t i = slots.size(); i < 600; ++i) {
    slots.push_back(rig.Store(CompressiblePageOf(i)).slot);
  }
  Writer writer(rig.stack);

  rig.stack.Pause();
  os::InheritedFiles files = rig.stack.OpenForChild();
  ASSERT_TRUE(files.file[0].is_open());
  EXPECT_FALSE(files.file[1].is_open());
  ForkedChild child([&](ForkedChild& self) {
    if (!self.AwaitGo()) return 1;
    rig.stack.BecomeChild(std::move(files));
    if (!rig.stack.is_child() || rig.stack.writes()) return 2;
    if (rig.CountReadable(slots) != slots.size()) return 3;
    const StoredPage own = rig.Store(CompressiblePageOf(9999));
    if (own.as != StoredAs::kSlot || !rig.Holds(own.slot, CompressiblePageOf(9999))) return 4;
    if (rig.Store(RandomPage(1)).as != StoredAs::kIncompressible) return 5;
    if (rig.stack.writeback().Shrink(0)) return 6;  // it writes nothing
    for (const SwapSlot slot : slots) rig.Free(slot);
    return rig.stack.store().slots_in_use() == 1 ? 0 : 7;
  });
  files = os::InheritedFiles();
  rig.stack.Resume();

  EXPECT_EQ(rig.PagesOnDisk(), 300u);
  for (const SwapSlot slot : slots) rig.Free(slot);
  rig.stack.ReleaseChildren();
  EXPECT_EQ(SegmentTablePeer::StateOf(rig.stack.backing()->segments(), 0),
            SegmentTable::State::kHeld)
      << "the child still reads";
  slots = rig.Fill(600);
  rig.stack.writeback().Ask(0);
  rig.AwaitPagesOnDisk(600);
  child.Go();
  child.ExpectSuccess();
  EXPECT_EQ(rig.CountReadable(slots), slots.size());

  for (const SwapSlot slot : slots) rig.Free(slot);
  rig.stack.ReleaseChildren();
  EXPECT_EQ(SegmentTablePeer::StateOf(rig.stack.backing()->segments(), 0),
            SegmentTable::State::kEmptied)
      << "no child reads any more";
}

// The first process, its child and its grandchild each write a file, and each of them reads what it
// inherited while its ancestors free it and write other pages to their files.
TEST_P(StorageStackFork, EachGenerationWritesItsOwnFileAndReadsThoseOfItsAncestors) {
  for (const bool encrypt : {false, true}) {
    StorageOptions options = OptionsWithFile();
    options.backing.encrypt = encrypt;
    Rig rig(options);
    std::vector<SwapSlot> slots = rig.Fill(200);
    ASSERT_TRUE(rig.EmptyPool());
    const auto add = [&](uint64_t until) {
      for (uint64_t i = slots.size(); i < until; ++i) {
        slots.push_back(rig.Store(CompressiblePageOf(i)).slot);
      }
    };
    const auto renew = [&] {
      for (const SwapSlot slot : slots) rig.Free(slot);
      slots = rig.Fill(300);
      rig.stack.writeback().Ask(0);
      rig.AwaitPagesOnDisk(300);
      return rig.CountReadable(slots) == 300;
    };
    Writer writer(rig.stack);
    rig.stack.Pause();
    os::InheritedFiles files = rig.stack.OpenForChild();
    ForkedChild child([&](ForkedChild& self) {
      rig.stack.BecomeChild(std::move(files));
      if (!self.AwaitGo()) return 1;
      Writer child_writer(rig.stack);
      if (!rig.stack.WriteInChild(options.backing.path, [] {}).ok() || !rig.stack.writes())
        return 2;
      add(400);
      rig.stack.writeback().Ask(0);
      rig.AwaitPagesOnDisk(400);
      if (rig.CountReadable(slots) != 400) return 3;
      rig.stack.Pause();
      os::InheritedFiles both = rig.stack.OpenForChild();
      if (!both.file[0].is_open() || !both.file[1].is_open() || both.file[2].is_open()) return 4;
      if (both.file[0].IsSameFile(both.file[1])) return 5;
      ForkedChild grandchild([&](ForkedChild& inner) {
        rig.stack.BecomeChild(std::move(both));
        if (!inner.AwaitGo()) return 11;
        if (rig.CountReadable(slots) != 400) return 12;
        Writer own_writer(rig.stack);
        if (!rig.stack.WriteInChild(options.backing.path, [] {}).ok()) return 13;
        add(600);
        rig.stack.writeback().Ask(0);
        rig.AwaitPagesOnDisk(600);
        if (rig.CountReadable(slots) != 600) return 14;
        rig.stack.backing()->Audit();
        return renew() ? 0 : 15;
      });
      both = os::InheritedFiles();
      rig.stack.Resume();
      if (!renew()) return 6;
      grandchild.Go();
      grandchild.ExpectSuccess();
      rig.stack.backing()->Audit();
      return testing::Test::HasFailure() || rig.CountReadable(slots) != 300 ? 7 : 0;
    });
    files = os::InheritedFiles();
    rig.stack.Resume();
    ASSERT_TRUE(renew());
    child.Go();
    child.ExpectSuccess();
    EXPECT_EQ(rig.CountReadable(slots), 300u);
    for (const SwapSlot slot : slots) rig.Free(slot);
  }
}

// Its file is that of the first process too: a child that does not write adds none.
TEST_P(StorageStackFork, AGrandchildOfAReaderReadsAndThenWrites) {
  Rig rig(OptionsWithFile());
  std::vector<SwapSlot> slots = rig.Fill(200);
  ASSERT_TRUE(rig.EmptyPool());
  Writer writer(rig.stack);
  rig.stack.Pause();
  os::InheritedFiles files = rig.stack.OpenForChild();
  ForkedChild child([&](ForkedChild&) {
    rig.stack.BecomeChild(std::move(files));
    Writer child_writer(rig.stack);
    rig.stack.Pause();
    os::InheritedFiles again = rig.stack.OpenForChild();
    if (!again.file[0].is_open() || again.file[1].is_open()) return 1;
    ForkedChild grandchild([&](ForkedChild&) {
      rig.stack.BecomeChild(std::move(again));
      if (rig.CountReadable(slots) != 200) return 11;
      Writer own_writer(rig.stack);
      if (!rig.stack.WriteInChild(directory_.path().c_str(), [] {}).ok()) return 12;
      for (uint64_t i = 200; i < 300; ++i) {
        slots.push_back(rig.Store(CompressiblePageOf(i)).slot);
      }
      rig.stack.writeback().Ask(0);
      rig.AwaitPagesOnDisk(300);
      return rig.CountReadable(slots) == 300 ? 0 : 13;
    });
    again = os::InheritedFiles();
    rig.stack.Resume();
    grandchild.ExpectSuccess();
    return testing::Test::HasFailure() || rig.CountReadable(slots) != 200 ? 2 : 0;
  });
  files = os::InheritedFiles();
  rig.stack.Resume();
  child.ExpectSuccess();
}

// Descendants could not read all of the files.
TEST_P(StorageStackFork, OnlySoManyGenerationsWrite) {
  Rig rig(OptionsWithFile());
  std::vector<SwapSlot> slots = rig.Fill(50);
  ASSERT_TRUE(rig.EmptyPool());
  for (size_t generation = 1; generation <= os::kFilesReadMax; ++generation) {
    // The same process stands for its children: it closes and forgets what they would not have.
    os::InheritedFiles files;
    {
      Writer writer(rig.stack);
      rig.stack.Pause();
      files = rig.stack.OpenForChild();
      rig.stack.Resume();
    }
    rig.stack.BecomeChild(std::move(files));
    Writer writer(rig.stack);
    const Result<void> done = rig.stack.WriteInChild(directory_.path().c_str(), [] {});
    EXPECT_EQ(done.ok(), generation < os::kFilesReadMax) << generation;
    EXPECT_EQ(rig.stack.writes(), done.ok());
    if (!done.ok()) {
      EXPECT_EQ(done.error().errno_value, ENOTSUP);
    }
    const uint64_t before = slots.size();
    for (uint64_t i = before; i < before + 50; ++i) {
      slots.push_back(rig.Store(CompressiblePageOf(i)).slot);
    }
    if (done.ok()) {
      rig.stack.writeback().Ask(0);
      rig.AwaitPagesOnDisk(slots.size());
    }
    EXPECT_EQ(rig.CountReadable(slots), slots.size());
  }
  for (const SwapSlot slot : slots) rig.Free(slot);
}

// A path that is not there any more: the child goes on as a reader.
TEST_P(StorageStackFork, AChildThatGetsNoFileKeepsWhatItEvicts) {
  Rig rig(OptionsWithFile());
  const std::vector<SwapSlot> slots = rig.Fill(200);
  ASSERT_TRUE(rig.EmptyPool());
  Writer writer(rig.stack);
  rig.stack.Pause();
  os::InheritedFiles files = rig.stack.OpenForChild();
  ForkedChild child([&](ForkedChild&) {
    rig.stack.BecomeChild(std::move(files));
    Writer child_writer(rig.stack);
    if (rig.stack.WriteInChild("/a folder that is not there/file", [] {}).ok()) return 1;
    if (rig.stack.writes()) return 2;
    const SwapSlot own = rig.Store(CompressiblePageOf(77)).slot;
    if (!rig.Holds(own, CompressiblePageOf(77))) return 3;
    return rig.CountReadable(slots) == slots.size() ? 0 : 4;
  });
  files = os::InheritedFiles();
  rig.stack.Resume();
  child.ExpectSuccess();
}

TEST_P(StorageStackFork, AChildWithoutTheFileLosesOnlyWhatIsOnDisk) {
  Rig rig(OptionsWithFile());
  const std::vector<SwapSlot> slots = rig.Fill(200);
  ASSERT_TRUE(rig.EmptyPool());
  const SwapSlot in_pool = rig.Store(CompressiblePageOf(77)).slot;
  Writer writer(rig.stack);
  rig.stack.Pause();
  ForkedChild child([&](ForkedChild&) {
    rig.stack.BecomeChild(os::InheritedFiles());
    Page page;
    if (rig.Load(slots[0], page) != LoadedPage::kLost) return 1;
    if (rig.context.last_error() == 0) return 2;
    return rig.Holds(in_pool, CompressiblePageOf(77)) ? 0 : 3;
  });
  rig.stack.Resume();
  child.ExpectSuccess();
  EXPECT_EQ(rig.CountReadable(slots), slots.size());
}

INSTANTIATE_TEST_SUITE_P(Of, StorageStackFork,
                         testing::Values(PoolKind::kZsmalloc, PoolKind::kZbud),
                         [](const testing::TestParamInfo<PoolKind>& kind) {
                           return std::string(Name(kind.param));
                         });

// Nothing is on disk, so there is no file to give; the pool is the child's by copy-on-write.
TEST(StorageStackForkAlone, AChildOfAStackWithoutBackingHasEverything) {
  StorageOptions options;
  options.memory_limit = kMemory;
  Rig rig(options);
  Writer writer(rig.stack);
  const std::vector<SwapSlot> slots = rig.Fill(200);
  rig.stack.Pause();
  EXPECT_FALSE(rig.stack.OpenForChild().file[0].is_open());
  ForkedChild child([&](ForkedChild&) {
    rig.stack.BecomeChild(os::InheritedFiles());
    return rig.stack.is_child() && rig.CountReadable(slots) == slots.size() ? 0 : 1;
  });
  rig.stack.Resume();
  child.ExpectSuccess();
}

}  // namespace
}  // namespace uzswap
