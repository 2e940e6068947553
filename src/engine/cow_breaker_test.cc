#include "engine/cow_breaker.h"

#include <gtest/gtest.h>
#include <map>
#include <vector>

namespace uzswap {
namespace {

class FakePort final : public CowPort {
 public:
  std::optional<bool> MappedOnce(uint64_t address) override { return once[address]; }
  void BreakCow(uint64_t address) override { broken.push_back(address); }

  std::map<uint64_t, std::optional<bool>> once;
  std::vector<uint64_t> broken;
};

TEST(CowBreakerTest, CopyingPaysIfAllCompressedCopiesAreSmallerThanThePage) {
  struct Case {
    uint64_t sharers_per_mille;
    uint64_t compressed;
    uint64_t stored;
    bool pays;
  };
  const Case cases[] = {
      {2000, 0, 0, false},  // nothing is known
      {2000, 1000 * kPageSize / 4, 1000, true},
      {2000, 1000 * kPageSize * 45 / 100, 1000, true},
      {2000, 1000 * kPageSize * 46 / 100, 1000, false},
      {1000, 1000 * kPageSize * 9 / 10, 1000, true},
      {1000, 1000 * kPageSize, 1000, false},
      {9000, 1000 * kPageSize / 10, 1000, true},
      {9000, 1000 * kPageSize / 3, 1000, false},
      {9000, 0, 1000, true},  // all of it is same-filled or on disk
  };
  for (const Case& c : cases) {
    EXPECT_EQ(CopyingPays(c.sharers_per_mille, Bytes(c.compressed), PageCount(c.stored)), c.pays)
        << c.sharers_per_mille << " " << c.compressed;
  }
}

TEST(CowBreakerTest, APageThatIsSharedIsKeptUnlessCopyingPays) {
  for (const bool pays : {false, true}) {
    FakePort port;
    port.once = {{0x1000, true}, {0x2000, false}, {0x3000, std::nullopt}, {0x4000, true}};
    uint64_t addresses[] = {0x1000, 0x2000, 0x3000, 0x4000};
    Statistics statistics;
    const size_t count = BreakCow(port, addresses, pays, statistics);
    const std::vector<uint64_t> all{0x1000, 0x2000, 0x3000, 0x4000};
    const std::vector<uint64_t> own{0x1000, 0x4000};
    EXPECT_EQ(port.broken, pays ? all : own);
    EXPECT_EQ(std::vector<uint64_t>(addresses, addresses + count), port.broken);
    EXPECT_EQ(statistics.shared_pages_kept.Get(), pays ? 0u : 2u);
    EXPECT_EQ(statistics.shared_pages_copied.Get(), pays ? 2u : 0u);
  }
}

}  // namespace
}  // namespace uzswap
