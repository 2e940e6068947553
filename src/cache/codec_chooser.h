// CodecChooser: which of two codecs new pages are compressed with, by what both were seen to cost.
//
//   one store of kExploreEvery  ──> the codec that is not chosen      sizes, ns in    ┐
//   one store of kMeasureEvery  ──> measured                                          ├─ Figures of
//   one load  of kMeasureEvery  ──> measured                          ns out          ┘  each codec
//   a load of the other codec, if the thread has had kOtherEvery loads since the last of these
//
//   Decide:   cost = (fault + in + out) / (1 - size/page)      the codec with the lower one
//
// The model: a program of size 1 in memory T keeps (T - 1/r) / (1 - 1/r) of itself uncompressed, r
// being the ratio. So it misses (1 - T) / (1 - 1/r) of its accesses, if they are spread evenly; T
// is the same for both codecs and drops out. Each miss costs a fault, a compression and a
// decompression. A denser codec has fewer misses that cost more each.
//
// The denser codec is chosen if it is not more expensive, the faster one if it gains kGainPercent,
// so that the choice does not swing. Between two decisions the figures are collected again: they
// follow the contents and the dictionary. Times are of the processor, so that load does not distort
// them.
//
// The model does not hold when compressed pages leave hardly any room: then the pages that every
// access needs are out too. So under pressure the denser codec is chosen whatever it costs, until
// the pool is much smaller.
//
// A fixed chooser always answers with one codec and measures nothing.
//
//   [ fixed ] <──Use──> [ automatic ]       objects that are stored already keep their codec
//
// Pick and the notes: any thread, each with its own countdown. Decide and Use: one thread. Nothing
// allocates, no locks.
#ifndef UZSWAP_CACHE_CODEC_CHOOSER_H_
#define UZSWAP_CACHE_CODEC_CHOOSER_H_

#include <atomic>
#include <cstdint>

#include "base/counter.h"
#include "codec/codec.h"

namespace uzswap {

class CodecChooser {
 public:
  static constexpr uint32_t kMeasureEvery = 32;
  static constexpr uint32_t kExploreEvery = 128;
  static constexpr uint32_t kOtherEvery = 8;
  static constexpr uint64_t kSamplesMin = 32;  // of each figure, before a decision
  static constexpr uint64_t kGainPercent = 5;
  // Of the memory limit, for the pool: from here on there is pressure, and down to there.
  static constexpr uint64_t kPressurePercent = 50;
  static constexpr uint64_t kReliefPercent = 20;

  // How far a thread is on its way to the next measurement.
  struct Countdown {
    uint32_t stores = 0;
    uint32_t loads = 0;
    uint32_t since_other = kOtherEvery;  // loads since one of the other codec was measured
  };
  struct Pick {
    const Codec* codec = nullptr;
    bool measured = false;
  };

  // Once. Always this codec.
  void InitFixed(const Codec& codec);
  // Once. zstd at first, because pages that are stored first have been cold for long; then what is
  // better: lz4 or zstd.
  void InitAutomatic();

  // Another mode for the stores to come. The thread of Decide.
  void Use(CodecMode mode);

  [[nodiscard]] bool automatic() const { return automatic_.load(std::memory_order_relaxed); }
  [[nodiscard]] const Codec& chosen() const { return *chosen_.load(std::memory_order_relaxed); }

  // The codec for the next store of a thread, and whether to note what it costs.
  Pick PickForStore(Countdown& countdown);
  // Whether to note what the load of such an object costs.
  bool PickForLoad(CodecId codec, Countdown& countdown);
  // `size`: of the object; a page if it is incompressible.
  void NoteStore(CodecId codec, uint64_t ns, uint64_t size);
  void NoteLoad(CodecId codec, uint64_t ns);

  // `fault_ns`: what a miss costs without compression and decompression. `pool_percent`: the pool's
  // share of the memory limit. True if the choice has changed.
  bool Decide(uint64_t fault_ns, uint64_t pool_percent);

 private:
  struct Figures {
    RelaxedCounter stores;
    RelaxedCounter store_ns;
    RelaxedCounter bytes;
    RelaxedCounter loads;
    RelaxedCounter load_ns;
  };
  // The figures at one time, or what was counted between two.
  struct Window {
    uint64_t stores = 0;
    uint64_t store_ns = 0;
    uint64_t bytes = 0;
    uint64_t loads = 0;
    uint64_t load_ns = 0;
    friend constexpr Window operator-(const Window& a, const Window& b) {
      return {a.stores - b.stores, a.store_ns - b.store_ns, a.bytes - b.bytes, a.loads - b.loads,
              a.load_ns - b.load_ns};
    }
  };

  static Window Read(const Figures& figures);
  bool Choose(CodecId codec);
  // Nanoseconds for each access of a program that is not resident at all, times the misses.
  static uint64_t CostOf(const Window& window, uint64_t fault_ns);

  Figures& FiguresOf(CodecId codec) { return figures_[codec == CodecId::kZstd ? 1 : 0]; }

  // Relaxed: a store may go by the former mode once more.
  std::atomic<bool> automatic_{false};
  bool pressure_ = false;  // Decide's
  // Relaxed: which codec an object has is in its entry.
  std::atomic<const Codec*> chosen_{nullptr};
  Figures figures_[2];  // lz4, zstd
  Window decided_[2];   // the figures at the last decision
};

}  // namespace uzswap

#endif  // UZSWAP_CACHE_CODEC_CHOOSER_H_
