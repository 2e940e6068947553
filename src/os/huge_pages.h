// HugePages: keeps the kernel from giving the program huge pages while its limit is near.
//
// Where transparent huge pages are on, one touch of fresh memory takes 2 MiB at once. That is more
// than the reserve below the limit is for.
//
//   permitted ──Permit(false)──> forbidden (PR_SET_THP_DISABLE, which is of the memory, not of the
//             <──Permit(true)──             process)
//
// If the program, or the process that started it, has forbidden them itself, nothing is changed. A
// program that is executed while they are forbidden starts without huge pages: the kernel keeps the
// setting.
//
// One engine thread. Nothing allocates.
#ifndef UZSWAP_OS_HUGE_PAGES_H_
#define UZSWAP_OS_HUGE_PAGES_H_

namespace uzswap::os {

class HugePages {
 public:
  void Permit(bool permitted);

 private:
  bool forbidden_ = false;  // by us
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_HUGE_PAGES_H_
