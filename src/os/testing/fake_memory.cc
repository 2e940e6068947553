#include "os/testing/fake_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"

namespace uzswap::os {
namespace {

uint64_t DigestOf(const std::byte* bytes) {
  uint64_t digest = 0xcbf29ce484222325u;
  for (size_t at = 0; at < kPageSize; at += 8) {
    uint64_t word = 0;
    memcpy(&word, bytes + at, 8);
    digest = (digest ^ word) * 0x100000001b3u;
  }
  return digest;
}

}  // namespace

// The engine's memory outlives the fake in most tests, and its owner may look at it.
FakeMemory::~FakeMemory() {
  for (const auto& [start, area] : areas_) {
    if (!area.engine) continue;
    mprotect(reinterpret_cast<void*>(start), area.end - start, PROT_READ | PROT_WRITE);
  }
}

FakeArea* FakeMemory::AreaFrom(uint64_t address) {
  auto after = areas_.upper_bound(address);
  if (after != areas_.begin()) {
    auto before = std::prev(after);
    if (before->second.end > address) return &before->second;
  }
  return after == areas_.end() ? nullptr : &after->second;
}

FakeArea* FakeMemory::AreaAt(uint64_t address) {
  FakeArea* area = AreaFrom(address);
  return area != nullptr && area->start <= address ? area : nullptr;
}

void FakeMemory::AddArea(const FakeArea& area) {
  UZ_CHECK(area.start < area.end && area.start % kPageSize == 0 && area.end % kPageSize == 0);
  const FakeArea* next = AreaFrom(area.start);
  UZ_CHECK(next == nullptr || next->start >= area.end);
  areas_[area.start] = area;
  if (!area.engine) return;
  for (uint64_t page = area.start; page < area.end; page += kPageSize) Protect(page, false);
}

void FakeMemory::SplitAround(uint64_t start, uint64_t end) {
  for (const uint64_t border : {start, end}) {
    FakeArea* area = AreaAt(border);
    if (area == nullptr || area->start == border) continue;
    FakeArea upper = *area;
    area->end = border;
    upper.start = border;
    areas_[border] = upper;
  }
}

void FakeMemory::Remove(uint64_t start, uint64_t end) {
  SplitAround(start, end);
  const auto first = areas_.lower_bound(start);
  const auto last = areas_.lower_bound(end);
  for (auto it = first; it != last; ++it) {
    for (uint64_t page = it->first; page < it->second.end; page += kPageSize) Drop(page);
  }
  areas_.erase(first, last);
}

void FakeMemory::Relocate(uint64_t start, uint64_t end, uint64_t target) {
  SplitAround(start, end);
  std::vector<FakeArea> moved;
  for (auto it = areas_.lower_bound(start); it != areas_.end() && it->first < end;
       it = areas_.erase(it)) {
    moved.push_back(it->second);
  }
  std::vector<std::pair<uint64_t, FakePage>> pages;
  for (uint64_t page = start; page < end; page += kPageSize) {
    auto found = pages_.find(page);
    if (found == pages_.end()) continue;
    pages.emplace_back(page - start + target, std::move(found->second));
    pages_.erase(found);
  }
  for (FakeArea& area : moved) {
    UZ_CHECK(!area.engine);
    area.start = area.start - start + target;
    area.end = area.end - start + target;
    AddArea(area);
  }
  for (auto& [page, content] : pages) pages_[page] = std::move(content);
}

void FakeMemory::Grow(FakeArea& area, uint64_t new_end) {
  const FakeArea* next = AreaFrom(area.end);
  UZ_CHECK(new_end > area.end && (next == nullptr || next->start >= new_end));
  area.end = new_end;
}

FakePage* FakeMemory::PageAt(uint64_t address) {
  auto found = pages_.find(RoundDownToPage(address));
  return found == pages_.end() ? nullptr : &found->second;
}

std::byte* FakeMemory::BytesAt(uint64_t address) {
  FakePage* page = PageAt(address);
  UZ_CHECK(page != nullptr);
  const uint64_t start = RoundDownToPage(address);
  return page->bytes == nullptr ? reinterpret_cast<std::byte*>(start) : page->bytes.get();
}

void FakeMemory::Populate(uint64_t address, const std::byte* bytes) {
  const FakeArea* area = AreaAt(address);
  UZ_CHECK(area != nullptr && PageAt(address) == nullptr);
  FakePage& page = pages_[RoundDownToPage(address)];
  if (area->engine) {
    Protect(address, true);
  } else {
    page.bytes = std::make_unique<std::byte[]>(kPageSize);
  }
  memcpy(BytesAt(address), bytes, kPageSize);
}

bool FakeMemory::IsReadable(uint64_t address) {
  const FakePage* page = PageAt(address);
  return page != nullptr && !page->poisoned;
}

void FakeMemory::Drop(uint64_t address) {
  FakePage* page = PageAt(address);
  if (page == nullptr) return;
  if (page->bytes == nullptr) Protect(address, false);
  pages_.erase(RoundDownToPage(address));
}

void FakeMemory::Protect(uint64_t address, bool accessible) const {
  void* start = reinterpret_cast<void*>(RoundDownToPage(address));
  UZ_CHECK_EQ(mprotect(start, kPageSize, accessible ? PROT_READ | PROT_WRITE : PROT_NONE), 0);
}

void FakeMemory::ShareEverything() {
  for (auto& [address, page] : pages_) {
    page.shared = true;
    if (page.bytes == nullptr) page.shared_digest = DigestOf(BytesAt(address));
  }
}

void FakeMemory::BecomeChild() {
  ShareEverything();
  std::vector<std::pair<uint64_t, uint64_t>> absent;
  for (auto& [start, area] : areas_) {
    area.userfaultfd = 0;
    for (uint64_t page = start; area.protection.wiped_in_children && page < area.end;
         page += kPageSize) {
      Drop(page);
    }
    if (area.protection.kept_from_children) absent.emplace_back(start, area.end);
  }
  for (const auto& [start, end] : absent) Remove(start, end);
}

bool FakeMemory::IsBusy(uint64_t address) {
  FakePage* page = PageAt(address);
  UZ_CHECK(page != nullptr);
  if (page->pinned) return true;
  if (!page->shared) return false;
  if (page->bytes != nullptr) return true;  // until the program writes to it
  page->shared = false;
  return DigestOf(BytesAt(address)) == page->shared_digest;
}

size_t FakeMemory::program_pages() const {
  size_t count = 0;
  for (const auto& [address, page] : pages_) count += page.bytes != nullptr ? 1 : 0;
  return count;
}

}  // namespace uzswap::os
