#include "descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace uzswap::cli {

void TakeNullDevice() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard <= 2; ++standard) {
    if (null < 0) {
      close(standard);
    } else if (null != standard) {
      dup2(null, standard);
    }
  }
  if (null > 2) close(null);
}

void CloseAllBut(std::initializer_list<int> kept) {
  std::vector<int> sorted(kept);
  std::sort(sorted.begin(), sorted.end());
  unsigned next = STDERR_FILENO + 1;
  for (const int descriptor : sorted) {
    const auto number = static_cast<unsigned>(descriptor);
    if (number < next) continue;
    if (number > next) close_range(next, number - 1, 0);
    next = number + 1;
  }
  close_range(next, ~0U, 0);
}

}  // namespace uzswap::cli
