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

struct BrokerCounters {
  RelaxedCounter start_failures;      // the runner could not start the broker
  RelaxedCounter connections;         // accepted
  RelaxedCounter failed_accepts;      // accept(2) failed
  RelaxedCounter unknown_peers;       // the process of a client is not known; the client is dropped
  RelaxedCounter displaced_clients;   // dropped for a new client, because there are too many
  RelaxedCounter idle_clients;        // dropped: sent nothing for too long
  RelaxedCounter malformed_requests;  // dropped: not a request of this version
  RelaxedCounter wrong_tokens;        // dropped
  RelaxedCounter unsent_replies;      // dropped: the reply could not be sent
  RelaxedCounter opened;              // requests for a file that were served
  RelaxedCounter failed_opens;        // the kernel refused to open the file
  RelaxedCounter ended_processes;     // the process ended while its file was opened
  RelaxedCounter refused_programs;    // a task folder of a process with other memory
  RelaxedCounter unverified_programs;  // served, although the memory could not be compared
  RelaxedCounter offers;               // descriptors that were kept
  RelaxedCounter refused_offers;       // the number was in use
  RelaxedCounter taken_offers;
  RelaxedCounter missed_takes;  // no offer with this number
  RelaxedCounter withdrawn_offers;
  RelaxedCounter missed_withdrawals;  // no offer with this number
  RelaxedCounter expired_offers;      // too old
  RelaxedCounter guards;              // engine processes that were guarded (broker/guard.h)
  RelaxedCounter refused_guards;      // there were too many
  RelaxedCounter killed_programs;     // their engine process had ended before them
  RelaxedCounter joins;               // processes that were given the session
  RelaxedCounter refused_joins;       // not a descendant of the runner
  RelaxedCounter displaced_offers;    // dropped for a new one, because there are too many
};

}  // namespace uzswap

#endif  // UZSWAP_SESSION_BROKER_RECORD_H_
