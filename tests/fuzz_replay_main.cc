// Runs a fuzz target without libFuzzer: over the files named as arguments, and those of the
// folders named, or over seeded random inputs when there are no arguments. A file that cannot be
// read, and a folder without files, are failures: nothing would be tested.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using std::filesystem::path;

constexpr int kRounds = 3000;
constexpr uint64_t kSeed = 20121231;

void RunRandom() {
  uzswap::Rng rng(kSeed);
  printf("%d random inputs, seed %lu\n", kRounds, static_cast<unsigned long>(kSeed));
  for (int round = 0; round < kRounds; ++round) {
    std::vector<uint8_t> input(rng.Below(1 << (1 + rng.Below(13))));
    const uint64_t values = 1 + rng.Below(256);  // few distinct values: repetitive inputs
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(rng.Below(values));
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
}

// The file itself, or the files of a folder in the order of their names.
std::vector<path> FilesOf(const path& named) {
  if (!std::filesystem::is_directory(named)) return {named};
  std::vector<path> files;
  for (const auto& entry : std::filesystem::directory_iterator(named)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool Replay(const path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    fprintf(stderr, "%s: cannot be read\n", file.c_str());
    return false;
  }
  const std::vector<uint8_t> input{std::istreambuf_iterator<char>(stream), {}};
  printf("%s: %zu bytes\n", file.c_str(), input.size());
  fflush(stdout);  // before a crash, so that the last line names the input
  LLVMFuzzerTestOneInput(input.data(), input.size());
  return true;
}

bool ReplayAll(const path& named) {
  const std::vector<path> files = FilesOf(named);
  if (files.empty()) fprintf(stderr, "%s: no input in this folder\n", named.c_str());
  return !files.empty() && std::all_of(files.begin(), files.end(), Replay);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) RunRandom();
  return std::all_of(argv + 1, argv + argc, ReplayAll) ? 0 : 1;
}
