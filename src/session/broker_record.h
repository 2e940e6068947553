// What the session's memory says about the broker (broker/broker_server.h): where it listens, the
// secrets that prove a member of the session, and its counters.
//
//   name     the abstract address is "uzswap-" and these 64 bits as hexadecimal digits
//   token    128 bits that a client shows to the broker
//   proof    128 bits that the broker shows in each reply: after the broker has ended, another user
//            can listen at the address, which /proc/net/unix shows, but does not know the proof
//
// The runner writes the address before the memory is shared. It is constant after that. The
// counters are written by the broker and read by anybody.
#ifndef UZSWAP_SESSION_BROKER_RECORD_H_
#define UZSWAP_SESSION_BROKER_RECORD_H_

#include <cstdint>

#include "base/counter.h"

namespace uzswap {

struct BrokerSecret {
  uint64_t words[2] = {};
};

struct BrokerAddress {
  uint64_t name = 0;
  BrokerSecret token;
  BrokerSecret proof;
};

// clang-format off
#define UZ_BROKER_COUNTERS(X) \
  X(starts)                 /* 1 if a broker was needed (apps/cli/broker_process.h) */ \
  X(start_failures)         /* the runner could not start the broker */ \
  X(connections)            /* accepted */ \
  X(failed_accepts)         /* accept(2) failed */ \
  X(unknown_peers)          /* the process of a client is not known; the client is dropped */ \
  X(displaced_clients)      /* dropped for a new client, because there are too many */ \
  X(idle_clients)           /* dropped: sent nothing for too long */ \
  X(malformed_requests)     /* dropped: not a request of this version */ \
  X(wrong_tokens)           /* dropped */ \
  X(unsent_replies)         /* dropped: the reply could not be sent */ \
  X(opened)                 /* requests for a file that were served */ \
  X(failed_opens)           /* the kernel refused to open the file */ \
  X(ended_processes)        /* the process ended while its file was opened */ \
  X(refused_programs)       /* a task folder of a process with other memory */ \
  X(unverified_programs)    /* served, although the memory could not be compared */ \
  X(offers)                 /* descriptors that were kept */ \
  X(refused_offers)         /* the number was in use */ \
  X(taken_offers) \
  X(missed_takes)           /* no offer with this number */ \
  X(withdrawn_offers) \
  X(missed_withdrawals)     /* no offer with this number */ \
  X(expired_offers)         /* too old */ \
  X(guards)                 /* engine processes that were guarded (broker/guard.h) */ \
  X(refused_guards)         /* there were too many */ \
  X(killed_programs)        /* their engine process had ended before them */ \
  X(joins)                  /* processes that were given the session */ \
  X(refused_joins)          /* not a descendant of the runner */ \
  X(displaced_offers)       /* dropped for a new one, because there are too many */ \
  X(trainings)              /* training processes that were started */ \
  X(busy_trainings)         /* refused: there was one already */ \
  X(refused_trainings)      /* not a file for training, or no process */ \
  X(failed_trainings)       /* the process was killed, or found no request that it could answer */ \
  X(stuck_trainings)        /* the process took too long and was killed */ \
  X(reused_dictionaries)    /* answered with a dictionary that the run had */
// clang-format on

struct BrokerCounters {
#define UZ_DECLARE_COUNTER(name) RelaxedCounter name;
  UZ_BROKER_COUNTERS(UZ_DECLARE_COUNTER)
#undef UZ_DECLARE_COUNTER
  // Not counts: the process that trains now, or 0, and the PID namespace of its number.
  RelaxedCounter training_process;
  RelaxedCounter training_namespace;
};

}  // namespace uzswap

#endif  // UZSWAP_SESSION_BROKER_RECORD_H_
