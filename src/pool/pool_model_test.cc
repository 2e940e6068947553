// Random operations on a pool, checked against the model. The seed is printed.
//
//   UZSWAP_TEST_OPS    operations for each kind of pool and access (default: a short run)
//   UZSWAP_TEST_SEED   a seed to use instead of the default
#include "pool/testing/pool_model.h"

#include <cstdio>
#include <gtest/gtest.h>
#include <string>
#include <tuple>

#include "base/testing/from_environment.h"

namespace uzswap {
namespace {

constexpr uint64_t kDefaultSeed = 20240607;

using Parameters = std::tuple<PoolVariant, FrameAccess>;
class PoolModelTest : public testing::TestWithParam<Parameters> {};

TEST_P(PoolModelTest, RandomOperationsAgreeWithTheModel) {
  const uint64_t seed = FromEnvironment("UZSWAP_TEST_SEED", kDefaultSeed);
  const uint64_t operations = FromEnvironment("UZSWAP_TEST_OPS", 20000);
  std::printf("seed %llu, %llu operations\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(operations));
  std::fflush(stdout);
  Rng rng(seed);
  PoolModel model(std::get<0>(GetParam()), std::get<1>(GetParam()));
  for (uint64_t i = 0; i < operations; ++i) model.Perform(RandomOperation(rng, i / 10000));
  model.CheckEverything();
  const PoolStatistics statistics = model.pool().Snapshot();
  std::printf("no space %llu, moved %llu, refused %llu, migrated %llu, units reclaimed %llu\n",
              static_cast<unsigned long long>(statistics.no_space),
              static_cast<unsigned long long>(statistics.objects_moved),
              static_cast<unsigned long long>(statistics.moves_refused),
              static_cast<unsigned long long>(statistics.frames_migrated),
              static_cast<unsigned long long>(statistics.units_reclaimed));
}

std::string ParametersName(const testing::TestParamInfo<Parameters>& parameters) {
  return NameOf(std::get<0>(parameters.param)) +
         (std::get<1>(parameters.param) == FrameAccess::kAlways ? "Always" : "WhilePinned");
}

INSTANTIATE_TEST_SUITE_P(Pools, PoolModelTest,
                         testing::Combine(testing::ValuesIn(kAllPoolVariants),
                                          testing::Values(FrameAccess::kAlways,
                                                          FrameAccess::kWhilePinned)),
                         ParametersName);

}  // namespace
}  // namespace uzswap
