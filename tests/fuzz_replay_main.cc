// Runs a fuzz target without libFuzzer: over the files named as arguments (to replay a find),
// or over seeded random inputs when there are none.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kRounds = 3000;
constexpr uint64_t kSeed = 20121231;

void RunRandom() {
  uzswap::Rng rng(kSeed);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<uint8_t> input(rng.Below(1 << (1 + rng.Below(13))));
    const uint64_t values = 1 + rng.Below(256);  // few distinct values: repetitive inputs
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(rng.Below(values));
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) RunRandom();
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::vector<uint8_t> input{std::istreambuf_iterator<char>(file), {}};
    printf("%s: %zu bytes\n", argv[i], input.size());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return 0;
}
