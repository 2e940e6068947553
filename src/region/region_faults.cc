#include "region/region_faults.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "codec/codec.h"
#include "os/counted_move.h"

namespace uzswap {

using os::PortOutcome;
using os::PortResult;

namespace {

// Waits before a call that the kernel asked to repeat.
void Pause(RegionCounters& counters) {
  counters.retries.Add();
  os::YieldProcessor();
}

bool Passes(PortOutcome outcome) {
  return outcome == PortOutcome::kRetry || outcome == PortOutcome::kNoMemory;
}

[[noreturn]] void Uncertain(uint64_t address, PortOutcome outcome) {
  PanicOperands(__FILE__, __LINE__, "a page of a region can neither be moved nor copied", address,
                static_cast<uint64_t>(outcome));
}

}  // namespace

Result<void> RegionContext::Init(CompressedCache& compressed_cache) {
  auto memory = os::Mapping::Create(Bytes(kWindowMax * kPageSize), "a thread's scratch pages");
  if (!memory.ok()) return memory.error();
  scratch = std::move(memory).value();
  return cache.Init(compressed_cache);
}

RegionFault RegionFaults::Resolve(RegionContext& context, uint64_t page, RegionAccess access) {
  RegionMemory& memory = *memory_;
  const RegionWord word = memory.words.ClaimAny(page);
  switch (word.state()) {
    case RegionPageState::kResident:
      ResolveResident(page, word);
      return RegionFault::kResolved;
    case RegionPageState::kStaged:
      return ReturnStaged(page, word);
    case RegionPageState::kEmpty: {
      memory.counters.faults_zero.Add();
      const uint32_t window = Window(context, page);
      if (access == RegionAccess::kWrite || window > 1) {
        return Populate(context, page, word, window);
      }
      PopulateZero(page, word);
      context.next_page = page + 1;
      return RegionFault::kResolved;
    }
    case RegionPageState::kStored:
    case RegionPageState::kSameFilled:
      return Populate(context, page, word, Window(context, page));
  }
  Panic(__FILE__, __LINE__, "the word of a page holds no state");
}

uint32_t RegionFaults::Window(RegionContext& context, uint64_t page) const {
  const bool scans = page == context.next_page;
  context.window = scans ? std::min<uint32_t>(context.window * 2, RegionContext::kWindowMax) : 1;
  // Readahead uses what headroom there is.
  const auto spare = static_cast<uint64_t>(std::max<int64_t>(memory_->HeadroomPages(), 0));
  return static_cast<uint32_t>(std::min<uint64_t>(context.window, 1 + spare));
}

// The word says that the page is present. If the program has discarded it behind uzswap's back, it
// must read as zero. The claim keeps it from being isolated between the two.
void RegionFaults::ResolveResident(uint64_t page, RegionWord word) {
  RegionMemory& memory = *memory_;
  while (true) {
    const PortOutcome outcome = memory.port->Zero(memory.AddressOf(page)).outcome;
    if (outcome == PortOutcome::kDone || outcome == PortOutcome::kExists) break;
    if (!Passes(outcome)) Uncertain(memory.AddressOf(page), outcome);
    Pause(memory.counters);
  }
  memory.counters.faults_raced.Add();
  memory.words.GiveBack(page, word);
}

RegionFault RegionFaults::ReturnStaged(uint64_t page, RegionWord word) {
  RegionMemory& memory = *memory_;
  const uint64_t address = memory.AddressOf(page);
  const uint64_t frame = memory.FrameAddress(word.payload());
  while (true) {
    PortResult result = os::MoveOut(*memory.port, *memory.address_space, address, frame, 1,
                                    memory.counters.unreported_moves);
    if (result.outcome == PortOutcome::kBusy || result.outcome == PortOutcome::kRefused) {
      // The frame's memory goes back to the kernel with its position in the ring.
      result = memory.port->Copy(address, reinterpret_cast<const void*>(frame), kPageSize);
    }
    if (result.outcome == PortOutcome::kDone) break;
    if (!Passes(result.outcome)) Uncertain(address, result.outcome);
    Pause(memory.counters);
  }
  memory.counters.staged.Sub();
  memory.counters.resident.Add();
  memory.counters.faults_staged.Add();
  memory.words.GiveBack(page, word.Resident(RegionWord::kAgeMax));
  return RegionFault::kResolved;
}

void RegionFaults::PopulateZero(uint64_t page, RegionWord word) {
  RegionMemory& memory = *memory_;
  const uint64_t address = memory.AddressOf(page);
  while (true) {
    const PortOutcome outcome = memory.port->Zero(address).outcome;
    // The mapping was touched before it was registered, or by the program's own means.
    if (outcome == PortOutcome::kDone || outcome == PortOutcome::kExists) break;
    if (!Passes(outcome)) Uncertain(address, outcome);
    Pause(memory.counters);
  }
  memory.counters.resident.Add();
  memory.words.GiveBack(page, word.Resident(0));
}

RegionFault RegionFaults::Populate(RegionContext& context, uint64_t page, RegionWord word,
                                   uint32_t window) {
  Run run;
  run.first = page;
  run.count = 1;
  run.words[0] = word;
  ExtendRun(&run, window);
  const size_t filled = Fill(context, run);
  if (filled == 0) {
    memory_->counters.faults_lost.Add();
    GiveBackRest(run, 0);
    return RegionFault::kLost;
  }
  CopyRun(context, run, filled);
  GiveBackRest(run, filled);
  memory_->counters.read_ahead.Add(filled - 1);
  context.next_page = page + filled;
  return RegionFault::kResolved;
}

void RegionFaults::ExtendRun(Run* run, uint32_t window) {
  RegionWords& words = memory_->words;
  const bool empty = run->words[0].state() == RegionPageState::kEmpty;
  while (run->count < window && run->first + run->count < memory_->pages) {
    const uint64_t page = run->first + run->count;
    const RegionWord word = words.Read(page);
    const bool alike = empty ? word.state() == RegionPageState::kEmpty
                             : word.state() == RegionPageState::kStored ||
                                   word.state() == RegionPageState::kSameFilled;
    if (!alike || word.busy() || !words.Claim(page, word)) break;
    run->words[run->count++] = word;
  }
}

// Returns how many pages of the run were filled, from the first on.
size_t RegionFaults::Fill(RegionContext& context, const Run& run) {
  size_t filled = 0;
  bool read = false;
  while (filled < run.count) {
    std::byte* page = context.scratch.data() + filled * kPageSize;
    const LoadFrom from = read ? LoadFrom::kAnywhere : LoadFrom::kMemory;
    const LoadedPage loaded = FillPage(context, run.words[filled], page, from);
    if (loaded == LoadedPage::kLoaded) {
      ++filled;
    } else if (loaded == LoadedPage::kOnDisk && filled == 0) {
      ReadFromDisk(context, run);
      read = true;
    } else {
      break;
    }
  }
  return filled;
}

LoadedPage RegionFaults::FillPage(RegionContext& context, RegionWord word, std::byte* page,
                                  LoadFrom from) {
  switch (word.state()) {
    case RegionPageState::kEmpty:
      memset(page, 0, kPageSize);
      return LoadedPage::kLoaded;
    case RegionPageState::kSameFilled:
      FillPageWithWord(word.payload(), {page, kPageSize});
      return LoadedPage::kLoaded;
    case RegionPageState::kStored:
      return memory_->store->Load(context.cache, SwapSlot(word.payload()),
                                  PageBytes(page, kPageSize), from);
    case RegionPageState::kResident:
    case RegionPageState::kStaged:
      break;
  }
  Panic(__FILE__, __LINE__, "a page is filled whose content is elsewhere");
}

// All pages of the run side by side.
void RegionFaults::ReadFromDisk(RegionContext& context, const Run& run) {
  SwapSlot slots[RegionContext::kWindowMax];
  size_t count = 0;
  for (size_t i = 0; i < run.count; ++i) {
    if (run.words[i].state() != RegionPageState::kStored) continue;
    slots[count++] = SwapSlot(run.words[i].payload());
  }
  memory_->store->Prefetch(context.cache, {slots, count});
  memory_->counters.faults_disk.Add();
}

void RegionFaults::CopyRun(RegionContext& context, const Run& run, size_t filled) {
  RegionMemory& memory = *memory_;
  size_t done = 0;
  while (done < filled) {
    const uint64_t address = memory.AddressOf(run.first + done);
    const PortResult result = memory.port->Copy(address, context.scratch.data() + done * kPageSize,
                                                (filled - done) << kPageShift);
    const size_t copied = result.done_bytes >> kPageShift;
    for (size_t i = done; i < done + copied; ++i) {
      FreeContent(context, run.words[i]);
      memory.counters.resident.Add();
      memory.words.GiveBack(run.first + i, run.words[i].Resident(0));
    }
    done += copied;
    if (done == filled) return;
    if (copied > 0) continue;
    const bool was_there = result.outcome == PortOutcome::kExists &&
                           run.words[done].state() == RegionPageState::kEmpty;
    if (was_there) {
      memory.counters.resident.Add();
      memory.words.GiveBack(run.first + done, run.words[done].Resident(0));
      ++done;
    } else if (Passes(result.outcome)) {
      Pause(memory.counters);
    } else {
      Uncertain(address, result.outcome);
    }
  }
}

void RegionFaults::FreeContent(RegionContext& context, RegionWord word) {
  if (word.state() != RegionPageState::kStored) return;
  memory_->store->Free(context.cache, SwapSlot(word.payload()));
  memory_->counters.stored.Sub();
}

void RegionFaults::GiveBackRest(const Run& run, size_t from) {
  for (size_t i = from; i < run.count; ++i) memory_->words.GiveBack(run.first + i, run.words[i]);
}

void RegionFaults::BringIn(RegionContext& context, uint64_t first, uint64_t pages) {
  const uint64_t end = first + pages;
  for (uint64_t page = first; page < end && memory_->HeadroomPages() > 0;) {
    const RegionWord word = memory_->words.Read(page);
    const bool out =
        word.state() == RegionPageState::kStored || word.state() == RegionPageState::kSameFilled;
    if (!out || word.busy() || !memory_->words.Claim(page, word)) {
      ++page;
      continue;
    }
    const auto window = std::min<uint64_t>(RegionContext::kWindowMax, end - page);
    const uint64_t before = context.next_page;
    // An unreadable page is reported to the thread that touches it.
    const RegionFault fault = Populate(context, page, word, static_cast<uint32_t>(window));
    memory_->counters.read_ahead.Add(fault == RegionFault::kResolved ? 1 : 0);
    page = fault == RegionFault::kResolved ? context.next_page : page + 1;
    context.next_page = before;
  }
}

void RegionFaults::Discard(RegionContext& context, uint64_t first, uint64_t pages) {
  RegionMemory& memory = *memory_;
  for (uint64_t page = first; page < first + pages; ++page) {
    if (memory.words.Read(page).state() == RegionPageState::kEmpty) continue;
    const RegionWord word = memory.words.ClaimAny(page);
    if (word.pins() > 0) {
      memory.words.GiveBack(page, word);
      continue;
    }
    switch (word.state()) {
      case RegionPageState::kResident:
        memory.DropPage(page);
        memory.counters.resident.Sub();
        break;
      case RegionPageState::kStaged:
        // The frame's memory goes back to the kernel with its position in the ring.
        memory.counters.staged.Sub();
        break;
      case RegionPageState::kStored:
      case RegionPageState::kSameFilled:
      case RegionPageState::kEmpty:
        FreeContent(context, word);
        break;
    }
    memory.words.GiveBack(page, word.In(RegionPageState::kEmpty));
  }
}

}  // namespace uzswap
