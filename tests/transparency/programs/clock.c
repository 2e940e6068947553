// clock MIB: as plain, and prints the year that the clock says: a preload library changes it.
#include "working_set.h"

int main(int count, char** words) {
  const size_t bytes = Number(count, words, 1) * kMiB;
  void* set = MapSet(bytes, 1);
  // By the number of polls: the clock of this program may stand still.
  for (int i = 0; UnderLimit() && AbsentPages(set, bytes) < bytes / kPage / 4; ++i) {
    const struct timespec pause = {0, 2000000};
    if (i == 10000) Fail("waited too long: no page of the set was swapped out");
    nanosleep(&pause, NULL);
  }
  const time_t now = time(NULL);
  struct tm fields;
  gmtime_r(&now, &fields);
  printf("%s 2020\n", fields.tm_year + 1900 == 2020 ? "it is" : "it is not");
  return Verdict(Sweep(set, bytes, 1, 2));
}
