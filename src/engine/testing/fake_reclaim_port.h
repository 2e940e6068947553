// FakeReclaimPort: a process that is a table of answers, for stepping the reclaim daemon. Tests
// only.
//
//   answers   public fields: what the daemon is told next; it changes only where a comment says so
//   calls     a line for each action, in order: "isolate 64", "store 16", ...
//
// One thread.
//
// Size: 26 methods: 22 are the calls of the port, the others are for the tests.
#ifndef UZSWAP_ENGINE_TESTING_FAKE_RECLAIM_PORT_H_
#define UZSWAP_ENGINE_TESTING_FAKE_RECLAIM_PORT_H_

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/reclaim_port.h"
#include "reclaim/watermarks.h"

namespace uzswap {

class FakeReclaimPort : public ReclaimPort {
 public:
  explicit FakeReclaimPort(Headroom& room) : headroom(room) {}

  uint64_t NowNs() override { return now_ns; }
  Statistics& statistics() override { return counts; }
  Watermarks WantedWatermarks() override { return wanted; }
  void UseWatermarks(const Watermarks& watermarks) override { used = watermarks; }
  Usage MeasureUsage() override {
    headroom.Set(usage.headroom_pages);
    return usage;
  }
  void MeasureMetadata() override { Note("metadata"); }
  bool active() override { return is_active; }
  // Becomes active if `can_activate`.
  bool Activate() override {
    Note("activate");
    is_active = can_activate;
    return can_activate;
  }
  void UpdateStorage() override { Note("storage"); }
  // What was unregistered becomes resident.
  void ScanMappings() override {
    Note("scan");
    pages.resident += scan_adopts;
    scan_adopts = 0;
  }
  PageCounts CountPages() override { return pages; }
  size_t Isolate(size_t want) override {
    Note("isolate", want);
    return 0;
  }
  // Stores what is left of `storable`.
  size_t StoreOldest(size_t max) override {
    Note("store", max);
    const size_t stored = std::min(max, storable);
    storable -= stored;
    return stored;
  }
  size_t ReleaseFrames(size_t max) override {
    Note("release", max);
    const size_t released = std::min(max, releasable);
    releasable -= released;
    return released;
  }
  void BreakCow(size_t max) override { Note("break cow", max); }
  void PermitHugePages(bool permitted) override { huge_pages = permitted; }
  // One of `trims_left` each time.
  bool TrimPool() override {
    ++trims;
    if (trims_left > 0) --trims_left;
    return trims_left > 0;
  }
  WriterState writer() override { return writer_state; }
  void AwaitWriter() override {
    Note("await writer");
    now_ns += 1'000'000;
  }
  uint32_t MarkDead() override {
    Note("mark dead");
    return dead;
  }
  bool TreeIsEnding() override { return ending; }
  void WarnOverLimit(Bytes tree, bool progress) override {
    Note(progress ? "warn in spite of progress" : "warn", tree.raw() >> 20);
  }

  // The actions since the last call.
  std::vector<std::string> TakeCalls() { return std::exchange(calls, {}); }
  [[nodiscard]] bool Called(const std::string& what) const {
    return std::find(calls.begin(), calls.end(), what) != calls.end();
  }

  Headroom& headroom;
  uint64_t now_ns = uint64_t{1} << 40;
  Statistics counts;
  Watermarks wanted;  // to be set before the first step
  Watermarks used;    // what the daemon told the other parts; changes
  Usage usage;
  bool is_active = false;
  bool can_activate = true;
  uint64_t scan_adopts = 0;
  PageCounts pages;
  size_t storable = 0;
  size_t releasable = 0;
  bool huge_pages = true;
  uint64_t trims = 0;
  int trims_left = 0;  // falls
  WriterState writer_state;
  uint32_t dead = 0;
  bool ending = false;
  std::vector<std::string> calls;

 private:
  void Note(const char* what) { calls.emplace_back(what); }
  void Note(const char* what, uint64_t amount) {
    calls.push_back(std::string(what) + " " + std::to_string(amount));
  }
};

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_TESTING_FAKE_RECLAIM_PORT_H_
