// AddressSpace: the pager's queries about the program's mappings, as an interface.
//
//   LinuxAddressSpace   reads /proc/self
//   FakeUserFault       answers from its own table (os/testing/fake_user_fault.h)
//
// One thread at a time (the pager's lock). Present is the exception: it keeps no state, so any
// thread of the same descriptor table may call it. Nothing allocates.
#ifndef UZSWAP_OS_ADDRESS_SPACE_H_
#define UZSWAP_OS_ADDRESS_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "os/pagemap.h"
#include "os/procfs.h"

namespace uzswap::os {

class AddressSpace {
 public:
  // Finds the mapping that contains `address`. False if there is none.
  virtual bool Find(uint64_t address, MapsEntry* entry) = 0;
  // One step of a walk to higher addresses, which starts with address 0. Finds the first mapping
  // that ends above `address`. False if there is none. An entry has the state of the mapping when
  // the walk reached it. It also tells whether fork wipes the mapping (MapsEntry::wiped).
  virtual bool FindOnward(uint64_t address, MapsEntry* entry) = 0;
  // See PagemapReader::Present.
  virtual Result<size_t> Present(uint64_t start, uint64_t end, PresentRun* runs, size_t capacity,
                                 uint64_t* walked) = 0;
  // See PagemapReader::SharedContent.
  virtual bool SharedContent(uint64_t address) = 0;

 protected:
  ~AddressSpace() = default;
};

// Iterates over the runs of present pages of a range.
class PresentWalk {
 public:
  PresentWalk(AddressSpace& space, uint64_t start, uint64_t end)
      : space_(space), at_(start), end_(end) {}

  // False after the last run, and when the scan fails. failed() tells which.
  bool Next(PresentRun* run) {
    while (next_ == count_) {
      if (at_ >= end_ || failed_) return false;
      uint64_t walked = end_;
      const Result<size_t> found = space_.Present(at_, end_, runs_, kRuns, &walked);
      failed_ = !found.ok() || walked <= at_;
      count_ = found.ok() ? found.value() : 0;
      next_ = 0;
      at_ = walked;
    }
    *run = runs_[next_++];
    return true;
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  static constexpr size_t kRuns = 64;

  AddressSpace& space_;
  uint64_t at_;
  uint64_t end_;
  PresentRun runs_[kRuns];
  size_t next_ = 0;
  size_t count_ = 0;
  bool failed_ = false;
};

class LinuxAddressSpace final : public AddressSpace {
 public:
  Result<void> Open() {
    Result<void> maps = maps_.Open();
    if (!maps.ok()) return maps;
    return pagemap_.Open();
  }
  void Close() {
    maps_.Close();
    pagemap_.Close();
  }

  // For a forked child, see ProcFile::Forget.
  void Forget() {
    maps_.Forget();
    detailed_.Forget();
    pagemap_.Forget();
  }

  bool Find(uint64_t address, MapsEntry* entry) override { return maps_.Find(address, entry); }
  bool FindOnward(uint64_t address, MapsEntry* entry) override {
    if (address == 0) {
      detailed_.Close();
      walk_ = MapsEntry();
      if (!detailed_.OpenDetailed().ok()) return false;
    }
    while (walk_.end <= address) {
      if (detailed_.Next(&walk_)) continue;
      detailed_.Close();
      return false;
    }
    *entry = walk_;
    return true;
  }
  Result<size_t> Present(uint64_t start, uint64_t end, PresentRun* runs, size_t capacity,
                         uint64_t* walked) override {
    return pagemap_.Present(start, end, runs, capacity, walked);
  }
  bool SharedContent(uint64_t address) override { return pagemap_.SharedContent(address); }
  // See PagemapReader::SharingOf and MappedOnce. Any thread, as Present.
  [[nodiscard]] std::optional<bool> MappedOnce(uint64_t address) const {
    return pagemap_.MappedOnce(address);
  }
  [[nodiscard]] PageSharing SharingOf(uint64_t start, uint64_t end) const {
    return pagemap_.SharingOf(start, end);
  }

 private:
  MapsReader maps_;
  MapsReader detailed_;
  MapsEntry walk_;
  PagemapReader pagemap_;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_ADDRESS_SPACE_H_
