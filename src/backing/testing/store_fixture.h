// For the tests of the backing store: an owner that keeps a model of what must be readable.
#ifndef UZSWAP_BACKING_TESTING_STORE_FIXTURE_H_
#define UZSWAP_BACKING_TESTING_STORE_FIXTURE_H_

#include <gtest/gtest.h>
#include <map>
#include <set>
#include <vector>

#include "backing/backing_store.h"
#include "base/rng.h"
#include "os/testing/fake_io_port.h"

namespace uzswap {

// Objects are made from their key and version, so any of them can be checked at any time.
inline std::vector<std::byte> ObjectOf(uint64_t key, uint64_t version) {
  Rng rng(key * 1'000'003 + version);
  std::vector<std::byte> bytes(64 + rng.Below(2000));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.Next());
  return bytes;
}

class ModelOwner : public ObjectOwner {
 public:
  struct Entry {
    uint64_t version = 0;  // also the token of its write
    DiskPlace place;       // invalid before the object is written
    uint64_t moving = 0;   // token of a move by the cleaner
  };

  bool Written(uint64_t key, uint64_t token, DiskPlace place) override {
    auto found = entries.find(key);
    if (found == entries.end()) return false;
    Entry& entry = found->second;
    if (token == entry.version && !entry.place.valid()) {
      entry.place = place;
      return true;
    }
    if (token != entry.moving || token == 0) return false;
    entry.moving = 0;
    store->Release(entry.place);
    entry.place = place;
    return true;
  }
  void WriteFailed(uint64_t key, uint64_t token) override {
    ++failed;
    auto found = entries.find(key);
    if (found != entries.end() && found->second.moving == token) found->second.moving = 0;
  }
  uint64_t Wanted(uint64_t key, DiskPlace place) override {
    auto found = entries.find(key);
    if (found == entries.end() || found->second.place != place) return 0;
    if (stays.contains(key)) return 0;
    return found->second.moving = next_move++;
  }

  std::map<uint64_t, Entry> entries;
  std::set<uint64_t> stays;  // wanted, but must not be moved now
  BackingStore* store = nullptr;
  uint64_t failed = 0;
  uint64_t next_move = uint64_t{1} << 60;
};

class SegmentTablePeer {
 public:
  static SegmentTable::State StateOf(const SegmentTable& table, uint32_t segment) {
    return table.rows_[segment].state.load(std::memory_order_acquire);
  }
};

class StoreFixture {
 public:
  explicit StoreFixture(BackingOptions options = {}, uint64_t capacity = 64 << 20,
                        uint32_t depth = 4) {
    UZ_CHECK(port.Init(capacity, depth).ok());
    owner.store = &store;
    UZ_CHECK(store.Init(port, owner, options).ok());
    UZ_CHECK(context.Init().ok());
  }
  ~StoreFixture() {
    port.Heal();
    port.Release();
    store.WaitForWrites();
  }
  AppendOutcome Put(uint64_t key) {
    Drop(key);
    const uint64_t version = ++versions;
    const std::vector<std::byte> object = ObjectOf(key, version);
    AppendOutcome outcome = store.Append(key, version, {CodecId::kLz4}, {object, {}});
    if (outcome == AppendOutcome::kNoBuffer) {
      store.Reap(true);
      outcome = store.Append(key, version, {CodecId::kLz4}, {object, {}});
    }
    owner.entries[key] = {version, DiskPlace(), 0};
    return outcome;
  }
  void Drop(uint64_t key) {
    auto found = owner.entries.find(key);
    if (found == owner.entries.end()) return;
    if (found->second.place.valid()) store.Release(found->second.place);
    owner.entries.erase(found);
  }
  ReadOutcome Get(uint64_t key) {
    const ModelOwner::Entry& entry = owner.entries.at(key);
    const ReadResult result = store.Read(entry.place, key, context);
    if (result.outcome == ReadOutcome::kOk) {
      const std::vector<std::byte> expected = ObjectOf(key, entry.version);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), result.payload.begin(),
                             result.payload.end()))
          << key;
    }
    return result.outcome;
  }
  // Every published object is readable; returns how many there are.
  size_t CheckAll() {
    size_t published = 0;
    for (const auto& [key, entry] : owner.entries) {
      if (!entry.place.valid()) continue;
      ++published;
      EXPECT_EQ(Get(key), ReadOutcome::kOk) << key;
    }
    return published;
  }

  os::FakeIoPort port;
  ModelOwner owner;
  BackingStore store;
  ReadContext context;
  uint64_t versions = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_TESTING_STORE_FIXTURE_H_
