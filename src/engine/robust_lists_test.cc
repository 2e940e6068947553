#include "engine/robust_lists.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "os/procfs.h"
#include "os/program_memory.h"

namespace uzswap {
namespace {

// Notes what is pinned.
class Pins final : public RangeSink {
 public:
  bool Adopt(AddressRange, AddressRange) override { return false; }
  void PinResident(AddressRange range) override {
    EXPECT_EQ(range.size(), Bytes(kPageSize));
    pages.push_back(range.start);
  }
  [[nodiscard]] bool Holds(const void* address) const {
    const uint64_t page = RoundDownToPage(reinterpret_cast<uint64_t>(address));
    return std::find(pages.begin(), pages.end(), page) != pages.end();
  }
  std::vector<uint64_t> pages;
};

class RobustListsTest : public testing::Test {
 protected:
  static constexpr size_t kPages = 8;

  RobustListsTest() {
    memory_ = static_cast<std::byte*>(mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(memory_, MAP_FAILED);
    head_ = os::ThreadDescriptorHint(static_cast<uint32_t>(syscall(SYS_gettid)));
    EXPECT_NE(head_, 0u);
  }
  ~RobustListsTest() override { munmap(memory_, kPages * kPageSize); }

  pthread_mutex_t* NewMutex(size_t offset, bool robust) {
    auto* mutex = reinterpret_cast<pthread_mutex_t*>(memory_ + offset);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    EXPECT_EQ(pthread_mutex_init(mutex, &attributes), 0);
    return mutex;
  }

  std::byte* memory_ = nullptr;
  uint64_t head_ = 0;
  Pins pins_;
  RobustLists lists_{os::ReadProgramMemory};
};

TEST_F(RobustListsTest, PinsTheMutexesThatTheThreadHolds) {
  EXPECT_EQ(lists_.Pin(head_, pins_), 0u);
  EXPECT_TRUE(pins_.pages.empty());
  pthread_mutex_t* const plain = NewMutex(0, false);
  pthread_mutex_t* const first = NewMutex(2 * kPageSize + 64, true);
  // Its entry and its futex word lie in two pages.
  pthread_mutex_t* const second = NewMutex(5 * kPageSize - 16, true);
  for (pthread_mutex_t* mutex : {plain, first, second}) pthread_mutex_lock(mutex);
  EXPECT_EQ(lists_.Pin(head_, pins_), 2u);
  EXPECT_FALSE(pins_.Holds(plain));
  EXPECT_TRUE(pins_.Holds(first));
  EXPECT_TRUE(pins_.Holds(second));
  EXPECT_TRUE(pins_.Holds(second + 1)) << "the entry is at its end";
  EXPECT_EQ(lists_.pages(), 3u);
  for (pthread_mutex_t* mutex : {second, first, plain}) pthread_mutex_unlock(mutex);
  EXPECT_EQ(lists_.Pin(head_, pins_), 0u);
}

// What the kernel reads, it reads from the program: nothing of it can be trusted.
TEST_F(RobustListsTest, SpoiltListsEnd) {
  struct Head {
    uint64_t next;
    int64_t offset;
    uint64_t pending;
  };
  auto* head = reinterpret_cast<Head*>(memory_);
  const auto at = [this](size_t offset) { return reinterpret_cast<uint64_t>(memory_ + offset); };
  const auto point = [this](size_t from, uint64_t to) { memcpy(memory_ + from, &to, sizeof(to)); };
  struct Case {
    const char* what;
    Head head;
    size_t entries;
  };
  point(kPageSize, at(kPageSize));  // to itself
  point(2 * kPageSize, 0x1000);     // to nowhere
  point(3 * kPageSize, at(0) | 1);  // back, with the bit of priority inheritance
  const Case cases[] = {
      {"empty", {at(0), -32, 0}, 0},
      {"no list", {0, -32, 0}, 0},
      {"a circle without its head", {at(kPageSize), -32, 0}, RobustLists::kEntriesMax},
      {"an entry that is not mapped", {0x1000, -32, 0}, 0},
      {"the second one is not mapped", {at(2 * kPageSize), -32, 0}, 1},
      {"one entry", {at(3 * kPageSize), -32, 0}, 1},
      {"an offset beyond everything", {at(3 * kPageSize), INT64_MIN, 0}, 1},
      {"pending", {at(0), 8, at(4 * kPageSize) | 1}, 0},
  };
  for (const Case& c : cases) {
    *head = c.head;
    EXPECT_EQ(lists_.Pin(at(0), pins_), c.entries) << c.what;
  }
  EXPECT_TRUE(pins_.Holds(memory_ + 4 * kPageSize));
  EXPECT_EQ(lists_.Pin(0x1000, pins_), 0u) << "a head that is not mapped";
}

TEST_F(RobustListsTest, PinsABoundedNumberOfPages) {
  static std::vector<uint64_t> program;  // an entry every page, each to the next
  program.assign(RobustLists::kPinsMax + 10, 0);
  constexpr uint64_t kBase = uint64_t{1} << 40;
  RobustLists lists([](uint64_t from, void* to, size_t bytes) {
    if (from == kBase - kPageSize) {
      const uint64_t head[] = {kBase, 0, 0};
      memcpy(to, head, bytes);
      return true;
    }
    const uint64_t page = (from - kBase) / kPageSize;
    const uint64_t next = page + 1 < program.size() ? from + kPageSize : kBase - kPageSize;
    memcpy(to, &next, bytes);
    return true;
  });
  EXPECT_EQ(lists.Pin(kBase - kPageSize, pins_), program.size());
  EXPECT_EQ(lists.pages(), RobustLists::kPinsMax);
  EXPECT_EQ(lists.refused(), 10u);
  EXPECT_EQ(pins_.pages.size(), RobustLists::kPinsMax);
}

}  // namespace
}  // namespace uzswap
