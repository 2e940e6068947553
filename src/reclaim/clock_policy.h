// ClockPolicy: a clock with ages and random jumps.
//
//     pages that have an entry, by address
//     |--------------------------------------------------------------|
//          ^ hand: passes over pages; after kRunBetweenJumps victims it jumps to a random page
//
// What is not Resident is skipped, and a jump aims at each page that has an entry (vm/page_table.h)
// with the same probability: a reservation of terabytes costs what is in it.
//
//   policy bits of a page:   | refused in : 2 | refault count : 2 | passes left : 3 |
//
//   age           0 (just used) .. kOldest. Every pass of the hand makes a page older by one. A
//                 page of age kOldest is a victim. The bits hold kOldest - age, the passes that
//                 are left, so that untouched bits are a page that can go at once.
//   refault count how often in a row the page was touched while it was staged. Each time it
//                 becomes younger: 1, 3, 7 passes. It starts again when the page is stored.
//   refused in    a period of time, 1 to 3; 0: none. In that period the kernel refused to move the
//                 page, or the page did not compress. The page is no victim in the rest of the
//                 period: a hand that tries such pages again and again has no time for others.
//
//   event            age
//   OnFault          kOldest - 1       one pass
//   OnReadahead      kOldest           not touched yet
//   OnRefault        kOldest - (2^n - 1)
//   OnRefused,       0                 as long as possible, and not before RetryRefused
//   OnIncompressible
//
// The random jump: a hand that went on in the order of addresses would run ahead of a program that
// scans more memory than it may have, at the same speed, and take exactly what is needed next
// (docs/decisions/0002-random-hand.md). The last kProtected pages that answered faults are no
// victims: a program with few pages left would otherwise make no progress.
#ifndef UZSWAP_RECLAIM_CLOCK_POLICY_H_
#define UZSWAP_RECLAIM_CLOCK_POLICY_H_

#include "base/rng.h"
#include "reclaim/victim_policy.h"
#include "vm/page_table.h"

namespace uzswap {

class ClockPolicy final : public VictimPolicy {
 public:
  static constexpr uint8_t kOldest = 7;
  static constexpr uint8_t kRefaultsMax = 3;
  static constexpr size_t kRunMax = 64;             // pages in one run
  static constexpr size_t kRunBetweenJumps = 64;    // victims before the hand jumps
  static constexpr size_t kProtected = 32;          // pages that an instruction, or a few, can need
  static constexpr size_t kSweepScanMax = 1 << 18;  // looks at pages under one hold of the lock
  static constexpr size_t kBlockLooks = 4;          // a block of entries takes as long as so many

  // `table` outlives the policy.
  explicit ClockPolicy(PageTable& table) : table_(table) {}
  ClockPolicy(const ClockPolicy&) = delete;
  ClockPolicy& operator=(const ClockPolicy&) = delete;

  void OnFault(PageIndex index) override { SetAge(index, kOldest - 1); }
  void OnRefault(PageIndex index) override;
  void OnReadahead(PageIndex index) override { SetAge(index, kOldest); }
  void OnServed(PageIndex index) override { recent_[recent_next_++ % kProtected] = index; }

  VictimRun NextRun(size_t want, size_t* scan_left) override;
  [[nodiscard]] size_t SweepScanMax() const override;
  void OnIsolated(size_t pages) override;
  void OnRefused(PageIndex index) override;
  void RetryRefused() override { period_ = period_ % kPeriods + 1; }
  void OnSkipped() override { hand_ += kPageSize; }
  void OnStored(PageIndex index) override;
  void OnIncompressible(PageIndex index) override { NoteRefused(index); }
  void OnReclaimable(PageIndex index) override { SetAge(index, kOldest); }

  [[nodiscard]] uint8_t AgeOf(PageIndex index) const;
  [[nodiscard]] uint8_t RefaultsOf(PageIndex index) const;

 private:
  friend class ClockPolicyPeer;

  static constexpr uint8_t kPeriods = 3;

  struct Bits {
    uint8_t age = kOldest;
    uint8_t refaults = 0;
    uint8_t refused_in = 0;
  };
  [[nodiscard]] static Bits BitsOf(PageEntry entry);
  [[nodiscard]] Bits BitsOf(PageIndex index) const { return BitsOf(table_.entry(index)); }
  void SetBits(PageIndex index, Bits bits);
  // The page is in use, or was copied: what refused it before says nothing.
  void SetAge(PageIndex index, uint8_t age);
  void NoteRefused(PageIndex index);
  [[nodiscard]] bool IsVictim(PageIndex index) const;
  void Jump();
  [[nodiscard]] size_t RunFrom(const RegisteredRange& range, size_t want) const;

  PageTable& table_;
  // An address, so that it survives changes of the ranges.
  uint64_t hand_ = 0;
  size_t until_jump_ = 0;
  uint8_t period_ = 1;
  Rng rng_{0x757a73776170};
  PageIndex recent_[kProtected];
  size_t recent_next_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_RECLAIM_CLOCK_POLICY_H_
