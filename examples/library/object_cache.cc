// A cache of objects that can be made again, beside a plain one of the same memory.
//
//   key ──> hot objects, as they are (a list of the last ones used)
//      ──> the rest: an ephemeral area of a PageCache, 8 KiB a unit; the coldest are dropped
//      ──> made again
//
// The plain cache has the same memory for objects as they are. Both are asked for the same keys,
// most often for a few of them. A wrong object ends the program with an error.
#include <uzswap/page_cache.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <list>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using uzswap::PageCache;

constexpr size_t kObjectBytes = 8192;
constexpr uint64_t kObjects = 20'000;
constexpr uint64_t kMemoryBytes = 32 << 20;
using Object = std::vector<std::byte>;

// A document of the kind that services keep: fields with names, numbers and words.
Object Make(uint64_t key) {
  std::mt19937_64 random(key);
  std::string text;
  while (text.size() < kObjectBytes) {
    text += "{\"id\":" + std::to_string(key) + ",\"price\":" + std::to_string(random() % 100000) +
            ",\"name\":\"item-" + std::to_string(random() % 1000) + "\",\"available\":true},\n";
  }
  Object object(kObjectBytes);
  std::memcpy(object.data(), text.data(), kObjectBytes);
  return object;
}

// The last objects used, at most `bytes` of them.
class Recent {
 public:
  explicit Recent(uint64_t bytes) : objects_max_(bytes / kObjectBytes) {}

  const Object* Find(uint64_t key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return &order_.front().second;
  }
  // Returns what had to go; its key is kObjects if nothing had to.
  std::pair<uint64_t, Object> Add(uint64_t key, Object object) {
    order_.emplace_front(key, std::move(object));
    places_[key] = order_.begin();
    if (order_.size() <= objects_max_) return {kObjects, {}};
    std::pair<uint64_t, Object> gone = std::move(order_.back());
    places_.erase(gone.first);
    order_.pop_back();
    return gone;
  }

 private:
  const size_t objects_max_;
  std::list<std::pair<uint64_t, Object>> order_;
  std::unordered_map<uint64_t, std::list<std::pair<uint64_t, Object>>::iterator> places_;
};

class ObjectCache {
 public:
  ObjectCache(PageCache cache, uint64_t hot_bytes)
      : cache_(std::move(cache)),
        area_(cache_.CreateArea(PageCache::Lifetime::kEphemeral)),
        hot_(hot_bytes) {}

  Object Get(uint64_t key) {
    if (const Object* hot = hot_.Find(key)) return *hot;
    Object object(kObjectBytes);
    if (cache_.Load(area_, key, object, PageCache::Keep::kTake) != PageCache::Loaded::kLoaded) {
      object = Make(key);
      ++made_;
    }
    const auto gone = hot_.Add(key, object);
    // If it is refused, it is made again when it is needed.
    if (gone.first != kObjects) static_cast<void>(cache_.Store(area_, gone.first, gone.second));
    return object;
  }
  [[nodiscard]] uint64_t made() const { return made_; }

 private:
  PageCache cache_;
  PageCache::Area area_;
  Recent hot_;
  uint64_t made_ = 0;
};

}  // namespace

int main() {
  constexpr uint64_t kHotBytes = kMemoryBytes / 4;
  auto opened = PageCache::Open(
      {.memory_bytes = kMemoryBytes - kHotBytes, .unit_bytes = kObjectBytes});
  if (!opened.ok()) return 1;
  ObjectCache cache(std::move(opened).value(), kHotBytes);
  Recent plain(kMemoryBytes);
  uint64_t plain_made = 0;
  std::mt19937_64 random(42);
  std::uniform_real_distribution<double> uniform(0, 1);
  constexpr int kRequests = 20'000;
  for (int i = 0; i < kRequests; ++i) {
    // Zipf's law, nearly: half of the requests are for a few per cent of the keys.
    const auto key = static_cast<uint64_t>(std::pow(kObjects, uniform(random))) - 1;
    if (cache.Get(key) != Make(key)) return 2;
    if (plain.Find(key) == nullptr) {
      plain.Add(key, Make(key));
      ++plain_made;
    }
  }
  std::printf("made again: %llu of %d with the compressed cache, %llu without\n",
              static_cast<unsigned long long>(cache.made()), kRequests,
              static_cast<unsigned long long>(plain_made));
  return cache.made() < plain_made ? 0 : 3;
}
