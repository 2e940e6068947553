// BackingCounters: what a BackingStore counts. Any thread counts, any thread reads.
#ifndef UZSWAP_BACKING_BACKING_COUNTERS_H_
#define UZSWAP_BACKING_BACKING_COUNTERS_H_

#include "base/counter.h"

namespace uzswap {

// clang-format off
#define UZ_BACKING_COUNTERS(X)                                                    \
  X(objects_appended, "objects appended")                          \
  X(payload_bytes, "their compressed bytes, without headers")                     \
  X(objects_written, "objects whose place the owner took")      \
  X(objects_unwanted, "objects no longer wanted when their write ended")      \
  X(objects_failed, "objects whose write failed")                       \
  X(write_requests, "requests submitted")                                         \
  X(bytes_written, "their bytes, headers, padding and cleaning included")         \
  X(deepest_queue, "most requests in flight at once")                             \
  X(write_errors, "requests that failed")                                         \
  X(reads, "objects read back")                                                   \
  X(read_errors, "reads the device refused or cut short")                         \
  X(corrupt_objects, "reads that found damaged bytes")                            \
  X(misplaced_objects, "reads that found another object")                         \
  X(cleaned_segments, "sparse segments rewritten")                                \
  X(objects_recopied, "objects moved by cleaning")                                    \
  X(recopied_bytes, "their record bytes")                                         \
  X(copies_outdated, "copies of cleaning whose old place was written again meanwhile") \
  X(trimmed_segments, "empty segments whose space was given back")                \
  X(no_buffer, "appends refused because every batch was in flight")               \
  X(no_space, "appends refused at the size bound or on a full medium")            \
  X(over_budget, "appends refused by the wear limit")                             \
  X(refused_closed, "appends refused because the device failed")
// clang-format on

struct BackingCounters {
#define UZ_DECLARE(name, meaning) RelaxedCounter name;
  UZ_BACKING_COUNTERS(UZ_DECLARE)
#undef UZ_DECLARE
};

}  // namespace uzswap

#endif  // UZSWAP_BACKING_BACKING_COUNTERS_H_
