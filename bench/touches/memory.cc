#include "touches/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace uzswap::touches {
namespace {

// Neighbours in a heap resemble each other, so they stay together when several heaps are mixed.
constexpr size_t kStretch = 64 * kPage;

size_t ReadFully(int descriptor, std::byte* target, size_t size, off_t offset) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        pread(descriptor, target + done, size - done, offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done / kPage * kPage;
}

}  // namespace

Memory::Memory(size_t bytes, size_t unit_bytes)
    : bytes_(bytes / kPage * kPage), unit_bytes_(unit_bytes), sums_(bytes_ / unit_bytes) {
  void* data = mmap(nullptr, std::max(bytes_, kPage), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    std::perror("touches: mmap");
    std::exit(2);
  }
  data_ = static_cast<std::byte*>(data);
}

Memory::~Memory() { munmap(data_, std::max(bytes_, kPage)); }

std::string Memory::Fill(const std::vector<std::string>& files) {
  struct Source {
    int descriptor;
    off_t offset = 0;
  };
  std::vector<Source> sources;
  for (const std::string& file : files) {
    const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return file + ": " + std::strerror(errno);
    sources.push_back({descriptor});
  }
  size_t filled = 0;
  for (size_t turn = 0; filled < bytes_ && !sources.empty(); ++turn) {
    const size_t at = turn % sources.size();
    Source& source = sources[at];
    const size_t got = ReadFully(source.descriptor, data_ + filled,
                                 std::min(kStretch, bytes_ - filled), source.offset);
    source.offset += static_cast<off_t>(got);
    filled += got;
    if (got > 0) continue;
    close(source.descriptor);
    sources.erase(sources.begin() + static_cast<ptrdiff_t>(at));
  }
  for (const Source& source : sources) close(source.descriptor);
  if (filled < bytes_) {
    return "the files have " + std::to_string(filled) + " bytes, " + std::to_string(bytes_) +
           " are wanted\n  fix: tools/make_dumps.py --mib N makes larger ones";
  }
  for (uint64_t unit = 0; unit < units(); ++unit) sums_[unit] = SumOf(unit);
  return {};
}

uint32_t Memory::SumOf(uint64_t unit) const {
  const std::byte* start = At(unit);
  uint32_t sum = 0;
  for (size_t at = 0; at < unit_bytes_; at += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, start + at, sizeof(word));
    sum += word;
  }
  return sum;
}

bool Memory::Check(uint64_t unit) const { return SumOf(unit) == sums_[unit]; }

void Memory::Write(uint64_t unit) {
  // Not the same offset in each page: a codec would find that too easy.
  const size_t words = unit_bytes_ / sizeof(uint32_t);
  std::byte* place = At(unit) + unit * 0x9e3779b9u % words * sizeof(uint32_t);
  uint32_t word = 0;
  std::memcpy(&word, place, sizeof(word));
  ++word;
  std::memcpy(place, &word, sizeof(word));
  ++sums_[unit];
}

void Memory::Corrupt(uint64_t unit) { At(unit)[unit_bytes_ / 2 + 1] ^= std::byte{0x40}; }

}  // namespace uzswap::touches
