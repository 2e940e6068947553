// FakeMemory: the memory of a simulated process, for FakeUserFault. Tests only.
//
//      program areas   addresses that exist in this table only; contents on the test's heap
//      engine areas    real memory of ours (os/mapping.h), registered by the code under test;
//                      a page of it that is a hole is made inaccessible, so that reading one
//                      crashes, where with a kernel the engine would wait for itself
//
//      areas:  [ area )[ area )      [ engine area )       what the kernel calls VMAs
//      pages:    * *       *            *   *  *           present ones only
//
// Areas do not merge when they touch: the kernel often does not merge them either, and no call
// reaches across their border, so tests see borders rather too often. Not synchronised: the lock
// of FakeUserFault guards it.
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
  int userfaultfd = 0;  // that supplies its missing pages; 0: the kernel does
  bool engine = false;
};

struct FakePage {
  std::unique_ptr<std::byte[]> bytes;  // null for engine pages, whose bytes are real
  bool pinned = false;
  bool shared = false;         // with a forked process
  bool poisoned = false;       // holds nothing, and every touch is an error
  uint64_t shared_digest = 0;  // engine pages: the content when it became shared
};

class FakeMemory {
 public:
  FakeMemory() = default;
  ~FakeMemory();
  FakeMemory(const FakeMemory&) = delete;
  FakeMemory& operator=(const FakeMemory&) = delete;

  // The area that holds `address`, or nullptr.
  [[nodiscard]] FakeArea* AreaAt(uint64_t address);
  // The first area that ends beyond `address`, or nullptr.
  [[nodiscard]] FakeArea* AreaFrom(uint64_t address);
  // Requires: nothing there yet.
  void AddArea(const FakeArea& area);
  // Makes area borders at both ends, so that the areas in between can be changed as wholes.
  void SplitAround(uint64_t start, uint64_t end);
  // Areas and pages of the range are gone.
  void Remove(uint64_t start, uint64_t end);
  // Areas and pages of the range are at `target` now. Requires: nothing there yet.
  void Relocate(uint64_t start, uint64_t end, uint64_t target);
  void Grow(FakeArea& area, uint64_t new_end);

  [[nodiscard]] FakePage* PageAt(uint64_t address);
  // Requires: PageAt() is not nullptr.
  [[nodiscard]] std::byte* BytesAt(uint64_t address);
  // Supplies a page with these bytes. Requires: an area, no page.
  void Populate(uint64_t address, const std::byte* bytes);
  // Is there a page with content?
  [[nodiscard]] bool IsReadable(uint64_t address);
  // Takes the page away, if there is one.
  void Drop(uint64_t address);

  // What fork leaves in the child: registrations end, every page is shared with the parent.
  void BecomeChild();
  // And in the parent.
  void ShareEverything();
  // Would the kernel refuse to move this page? A shared engine page counts as written to again
  // once its content differs, or after one refusal (the same bytes may have been written).
  [[nodiscard]] bool IsBusy(uint64_t address);

  [[nodiscard]] size_t program_pages() const;

 private:
  void Protect(uint64_t address, bool accessible) const;

  std::map<uint64_t, FakeArea> areas_;  // by start
  std::unordered_map<uint64_t, FakePage> pages_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TESTING_FAKE_MEMORY_H_
