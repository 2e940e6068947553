// Random histories against the model. The seed is printed; UZSWAP_TEST_SEED repeats a run, and
// UZSWAP_TEST_OPS makes it longer. A failure prints the history from its beginning.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/testing/from_environment.h"
#include "pager/testing/pager_ops.h"

namespace uzswap {
namespace {

// Touches and steps come more often than the rest: a history should get somewhere.
PagerOp RandomOp(Rng& rng) {
  static constexpr PagerOpKind kOften[] = {
      PagerOpKind::kRead,       PagerOpKind::kWrite,   PagerOpKind::kWrite,
      PagerOpKind::kServePass,  PagerOpKind::kIsolate, PagerOpKind::kFill,
      PagerOpKind::kStepChange, PagerOpKind::kAdopt,   PagerOpKind::kCompress};
  const auto kind = rng.OneIn(2) ? kOften[rng.Below(std::size(kOften))]
                                 : static_cast<PagerOpKind>(rng.Below(kPagerOpKinds));
  return {kind, static_cast<uint16_t>(rng.Next()), static_cast<uint16_t>(rng.Next())};
}

std::string ToText(const std::vector<PagerOp>& history) {
  std::string text;
  for (const PagerOp& op : history) text += "    " + uzswap::ToText(op) + "\n";
  return text;
}

bool Replay(const std::vector<PagerOp>& ops, size_t check_every, std::string* failure) {
  auto history = std::make_unique<PagerHistory>();
  size_t done = 0;
  for (const PagerOp& op : ops) {
    history->Perform(op);
    if (++done % check_every == 0 && !history->Check()) break;
    if (!history->failure().empty()) break;
  }
  if (history->failure().empty()) history->Finish();
  *failure = history->failure();
  // The parts of a broken world end the process when they are destroyed.
  if (!failure->empty()) static_cast<void>(history.release());
  return failure->empty();
}

// Leaves out whatever does not matter for the failure.
std::vector<PagerOp> Shrunk(std::vector<PagerOp> ops) {
  std::string failure;
  for (size_t part = ops.size() / 2; part > 0; part /= 2) {
    for (size_t at = 0; at + part <= ops.size();) {
      std::vector<PagerOp> fewer = ops;
      fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(at),
                  fewer.begin() + static_cast<ptrdiff_t>(at + part));
      if (Replay(fewer, 1, &failure)) {
        at += part;
      } else {
        ops = fewer;
      }
    }
  }
  return ops;
}

TEST(PagerRandom, HistoriesKeepEveryByte) {
  const uint64_t seed = FromEnvironment("UZSWAP_TEST_SEED", 20260101);
  const uint64_t total = FromEnvironment("UZSWAP_TEST_OPS", 24000);
  constexpr size_t kHistory = 400;
  printf("UZSWAP_TEST_SEED=%llu UZSWAP_TEST_OPS=%llu\n", static_cast<unsigned long long>(seed),
         static_cast<unsigned long long>(total));
  fflush(stdout);
  for (uint64_t round = 0; round * kHistory < total; ++round) {
    Rng rng(seed + round);
    std::vector<PagerOp> ops(kHistory);
    for (PagerOp& op : ops) op = RandomOp(rng);
    std::string failure;
    ASSERT_TRUE(Replay(ops, 8, &failure))
        << failure << "\nseed " << seed + round << " (UZSWAP_TEST_OPS=1 repeats it alone)\n"
        << ToText(Shrunk(ops));
  }
}

}  // namespace
}  // namespace uzswap
