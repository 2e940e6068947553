// A session of its own for one test, joined by one member. Tests only.
#ifndef UZSWAP_ENGINE_TESTING_FAKE_SESSION_H_
#define UZSWAP_ENGINE_TESTING_FAKE_SESSION_H_

#include <utility>

#include "base/check.h"
#include "engine/session_member.h"
#include "session/session.h"

namespace uzswap {

inline Options OptionsWithLimit(Bytes limit) {
  Options options;
  options.limit = limit;
  return options;
}

// A session with a runner: the messages stay in it for the test to read.
inline Session NewSessionWithRunner(Bytes limit = Bytes(64 << 20)) {
  Result<Session> made = Session::Create(OptionsWithLimit(limit));
  UZ_CHECK(made.ok());
  return std::move(made).value();
}

inline Session NewPrivateSession(Bytes limit = Bytes(64 << 20)) {
  Result<Session> made = Session::CreatePrivate(OptionsWithLimit(limit));
  UZ_CHECK(made.ok());
  return std::move(made).value();
}

}  // namespace uzswap

#endif  // UZSWAP_ENGINE_TESTING_FAKE_SESSION_H_
