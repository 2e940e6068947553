// FakeMemory: the memory of a simulated process, for FakeUserFault. Tests only.
//
//      program areas   addresses that exist in this table only; contents on the test's heap
//      engine areas    real memory (os/mapping.h), registered by the code under test. A missing
//                      page is made inaccessible, so that reading it crashes. With the kernel the
//                      engine would wait for itself.
//
//      areas:  [ area )[ area )      [ engine area )       the VMAs of the kernel
//      pages:    * *       *            *   *  *           present pages only
//
// Adjacent areas are not merged. The kernel often does not merge them either. No call crosses an
// area's border, so tests see more borders than with the kernel. Not synchronised: the lock of
// FakeUserFault guards it.
#ifndef UZSWAP_OS_TESTING_FAKE_MEMORY_H_
#define UZSWAP_OS_TESTING_FAKE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/units.h"

namespace uzswap::os {

struct FakeProtection {
  bool readable = true;
  bool writable = true;
  bool executable = false;
  bool shared = false;
  bool anonymous = true;
  bool locked = false;
  bool kept_from_children = false;
  bool wiped_in_children = false;
  friend bool operator==(const FakeProtection&, const FakeProtection&) = default;
};

struct FakeArea {
  uint64_t start = 0;
  uint64_t end = 0;
  FakeProtection protection;
  int userfaultfd = 0;  // the one the area is registered with; 0: none
  bool engine = false;
};

struct FakePage {
  std::unique_ptr<std::byte[]> bytes;  // null for engine pages, whose bytes are in real memory
  bool pinned = false;
  bool shared = false;         // with a forked process
  bool poisoned = false;       // has no content; every touch fails
  uint64_t shared_digest = 0;  // engine pages: the content when it became shared
};

class FakeMemory {
 public:
  FakeMemory() = default;
  ~FakeMemory();
  FakeMemory(const FakeMemory&) = delete;
  FakeMemory& operator=(const FakeMemory&) = delete;

  // The area that contains `address`, or nullptr.
  [[nodiscard]] FakeArea* AreaAt(uint64_t address);
  // The first area that ends above `address`, or nullptr.
  [[nodiscard]] FakeArea* AreaFrom(uint64_t address);
  // Requires: no area is there.
  void AddArea(const FakeArea& area);
  // Splits the areas at both ends of the range, so that whole areas can be changed.
  void SplitAround(uint64_t start, uint64_t end);
  // Removes the areas and pages of the range.
  void Remove(uint64_t start, uint64_t end);
  // Moves the areas and pages of the range to `target`. Requires: no area is there.
  void Relocate(uint64_t start, uint64_t end, uint64_t target);
  void Grow(FakeArea& area, uint64_t new_end);

  [[nodiscard]] FakePage* PageAt(uint64_t address);
  // Requires: PageAt() is not nullptr.
  [[nodiscard]] std::byte* BytesAt(uint64_t address);
  // Populates a page with these bytes. Requires: an area, no page.
  void Populate(uint64_t address, const std::byte* bytes);
  // True if there is a page with content.
  [[nodiscard]] bool IsReadable(uint64_t address);
  // Removes the page if there is one.
  void Drop(uint64_t address);

  // The state of a forked child: no registrations, every page is shared with the parent.
  void BecomeChild();
  // The state of the parent after fork: every page is shared.
  void ShareEverything();
  // True if the kernel would refuse to move this page. A shared engine page is no longer shared
  // when its content has changed, or after one refusal (the same bytes may have been written).
  [[nodiscard]] bool IsBusy(uint64_t address);

  [[nodiscard]] size_t program_pages() const;

 private:
  void Protect(uint64_t address, bool accessible) const;

  std::map<uint64_t, FakeArea> areas_;  // by start
  std::unordered_map<uint64_t, FakePage> pages_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_FAKE_MEMORY_H_
