#include "cache/codec_chooser.h"

#include <algorithm>
#include <iterator>

namespace uzswap {

void CodecChooser::InitFixed(const Codec& codec) {
  chosen_.store(&codec, std::memory_order_relaxed);
}

void CodecChooser::InitAutomatic() {
  automatic_.store(true, std::memory_order_relaxed);
  chosen_.store(CodecById(CodecId::kZstd), std::memory_order_relaxed);
}

void CodecChooser::Use(CodecMode mode) {
  const bool automatic = mode == CodecMode::kAuto;
  automatic_.store(automatic, std::memory_order_relaxed);
  if (!automatic) chosen_.store(CodecById(FirstCodecOf(mode)), std::memory_order_relaxed);
}

CodecChooser::Pick CodecChooser::PickForStore(Countdown& countdown) {
  const Codec* const codec = chosen_.load(std::memory_order_relaxed);
  if (!automatic()) return {codec, false};
  const uint32_t number = countdown.stores++;
  if (number % kExploreEvery == kExploreEvery - 1) {
    return {CodecById(codec->id() == CodecId::kZstd ? CodecId::kLz4 : CodecId::kZstd), true};
  }
  return {codec, number % kMeasureEvery == 0};
}

bool CodecChooser::PickForLoad(CodecId codec, Countdown& countdown) {
  if (!automatic()) return false;
  ++countdown.since_other;
  if (codec == chosen().id()) return countdown.loads++ % kMeasureEvery == 0;
  // Usually objects of the other codec are few, and each of their loads counts. They are many when
  // the choice has just changed, or cold objects were made denser.
  if (countdown.since_other <= kOtherEvery) return false;
  countdown.since_other = 0;
  return true;
}

void CodecChooser::NoteStore(CodecId codec, uint64_t ns, uint64_t size) {
  Figures& figures = FiguresOf(codec);
  figures.stores.Add();
  figures.store_ns.Add(ns);
  figures.bytes.Add(size);
}

void CodecChooser::NoteLoad(CodecId codec, uint64_t ns) {
  Figures& figures = FiguresOf(codec);
  figures.loads.Add();
  figures.load_ns.Add(ns);
}

CodecChooser::Window CodecChooser::Read(const Figures& figures) {
  return {figures.stores.Get(), figures.store_ns.Get(), figures.bytes.Get(), figures.loads.Get(),
          figures.load_ns.Get()};
}

uint64_t CodecChooser::CostOf(const Window& window, uint64_t fault_ns) {
  const uint64_t in = window.store_ns / window.stores;
  const uint64_t out = window.load_ns / window.loads;
  // A page that saves nothing is refused, so the mean is below a page; a little above nothing.
  const uint64_t size = std::min<uint64_t>(window.bytes / window.stores, kPageSize - 1);
  return (fault_ns + in + out) * kPageSize / (kPageSize - size);
}

bool CodecChooser::Choose(CodecId codec) {
  if (chosen().id() == codec) return false;
  chosen_.store(CodecById(codec), std::memory_order_relaxed);
  return true;
}

bool CodecChooser::Decide(uint64_t fault_ns, uint64_t pool_percent) {
  if (!automatic()) return false;
  if (pool_percent > kPressurePercent) pressure_ = true;
  if (pool_percent < kReliefPercent) pressure_ = false;
  if (pressure_) return Choose(CodecId::kZstd);
  const Window now[2] = {Read(figures_[0]), Read(figures_[1])};
  const Window windows[2] = {now[0] - decided_[0], now[1] - decided_[1]};
  for (const Window& window : windows) {
    if (window.stores < kSamplesMin || window.loads < kSamplesMin) return false;
  }
  std::copy(std::begin(now), std::end(now), decided_);
  const uint64_t lz4 = CostOf(windows[0], fault_ns);
  const uint64_t zstd = CostOf(windows[1], fault_ns);
  if (zstd <= lz4) return Choose(CodecId::kZstd);
  return lz4 * 100 < zstd * (100 - kGainPercent) && Choose(CodecId::kLz4);
}

}  // namespace uzswap
