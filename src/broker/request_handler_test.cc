#include "broker/request_handler.h"

#include <cerrno>
#include <cstring>
#include <deque>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "broker/testing/fake_broker_port.h"
#include "broker/testing/fake_training_starter.h"

namespace uzswap {
namespace {

constexpr BrokerAddress kAddress{0xabc, {{11, 22}}, {{33, 44}}};
constexpr uint32_t kEngine = 501;   // the engine process, the client
constexpr uint32_t kProgram = 500;  // whose memory it shares
constexpr uint32_t kStranger = 7;

BrokerRequest Request(BrokerOperation operation, uint64_t argument = 0) {
  BrokerRequest request;
  request.operation = operation;
  request.argument = argument;
  request.token = kAddress.token;
  return request;
}

std::span<const std::byte> BytesOf(const BrokerRequest& request) {
  return std::as_bytes(std::span(&request, 1));
}

class RequestHandlerTest : public ::testing::Test {
 protected:
  RequestHandlerTest() {
    port_.ShareMemory(kEngine, kProgram);
    peer_ = {kEngine, port_.NewPidfd(kEngine)};
  }
  RequestHandler::Answer Ask(BrokerOperation operation, uint64_t argument = 0,
                             int descriptor = -1) {
    return handler_.Handle(BytesOf(Request(operation, argument)), peer_, descriptor, &guard_);
  }
  // The errno of the reply, which has no descriptor. -1: another answer.
  int FailureOf(BrokerOperation operation, uint64_t argument = 0, int descriptor = -1) {
    const RequestHandler::Answer answer = Ask(operation, argument, descriptor);
    if (answer.verdict != RequestHandler::Verdict::kReply || answer.descriptor >= 0) return -1;
    return answer.reply.errno_value;
  }
  // What the handler and its offers hold. The pidfd of the client is the test's.
  [[nodiscard]] size_t Held() const { return port_.open_count() - 1; }

  testing::FakeBrokerPort port_;
  BrokerCounters counters_;
  os::PacketPeer peer_;
  Guard guard_;
  RequestHandler handler_{port_, kAddress, counters_};
};

TEST_F(RequestHandlerTest, FilesInProcAreThoseOfTheClient) {
  for (uint64_t leaf = 0; leaf < os::kProcLeafCount; ++leaf) {
    const RequestHandler::Answer answer = Ask(BrokerOperation::kOpenProc, leaf);
    ASSERT_EQ(answer.verdict, RequestHandler::Verdict::kReply);
    EXPECT_EQ(answer.reply.errno_value, 0);
    EXPECT_EQ(memcmp(&answer.reply.proof, &kAddress.proof, sizeof(BrokerSecret)), 0);
    ASSERT_TRUE(port_.is_open(answer.descriptor));
    EXPECT_EQ(port_.last_pid, kEngine);
    port_.Close(answer.descriptor);
  }
  EXPECT_EQ(counters_.opened.Get(), os::kProcLeafCount);
  EXPECT_EQ(Held(), 0u);
}

TEST_F(RequestHandlerTest, AProgramIsGuardedByWhoSharesItsMemory) {
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardMemory, 0, port_.NewDescriptor()), EINVAL);
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardProgram, 0, port_.NewPidfd(kStranger)), EPERM);
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardProgram, 0, port_.NewDescriptor()), EBADF);
  EXPECT_EQ(Held(), 0u);
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardProgram, 0, port_.NewPidfd(kProgram)), 0);
  EXPECT_FALSE(guard_.complete());
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardMemory, 0, port_.NewDescriptor()), 0);
  EXPECT_TRUE(guard_.complete());
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardProgram, 0, port_.NewPidfd(kProgram)), EINVAL);
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardMemory, 0, port_.NewDescriptor()), EINVAL);
  EXPECT_EQ(Held(), 2u);
  EXPECT_EQ(counters_.guards.Get(), 1u);
  EXPECT_EQ(FailureOf(BrokerOperation::kUnguard), 0);
  EXPECT_EQ(Held(), 0u);
}

// The broker may kill what the client may not: with any doubt it does not guard.
TEST_F(RequestHandlerTest, AProgramThatCannotBeComparedIsNotGuarded) {
  port_.may_compare = false;
  EXPECT_EQ(FailureOf(BrokerOperation::kGuardProgram, 0, port_.NewPidfd(kProgram)), EPERM);
  EXPECT_EQ(Held(), 0u);
}

TEST_F(RequestHandlerTest, DescendantsOfTheRunnerMayJoinWithoutTheToken) {
  constexpr uint32_t kRunner = 400;
  BrokerRequest request = Request(BrokerOperation::kJoin);
  request.token = {};
  const auto join = [&] { return handler_.Handle(BytesOf(request), peer_, -1, &guard_); };
  EXPECT_EQ(join().reply.errno_value, EPERM) << "nobody may";
  const int session = port_.NewDescriptor();
  handler_.AllowJoin(session, kRunner);
  EXPECT_EQ(join().reply.errno_value, EPERM) << "a stranger";
  port_.parents = {{kEngine, kProgram}, {kProgram, kRunner}};
  const RequestHandler::Answer answer = join();
  EXPECT_EQ(answer.reply.errno_value, 0);
  ASSERT_TRUE(port_.is_open(answer.descriptor));
  EXPECT_NE(answer.descriptor, session) << "a new open file";
  port_.Close(answer.descriptor);
  port_.fail_at = port_.calls;
  EXPECT_EQ(join().reply.errno_value, EMFILE);
  port_.End(kEngine);
  EXPECT_EQ(join().reply.errno_value, EPERM) << "its number may be another's";
  EXPECT_EQ(counters_.joins.Get(), 1u);
  EXPECT_EQ(counters_.refused_joins.Get(), 3u);
  EXPECT_EQ(counters_.failed_opens.Get(), 1u);
  port_.Close(session);
  // Everything else needs it.
  for (const auto operation : {BrokerOperation::kOpenUserfaultfd, BrokerOperation::kTake}) {
    request.operation = operation;
    EXPECT_EQ(join().verdict, RequestHandler::Verdict::kDrop);
  }
}

TEST_F(RequestHandlerTest, ATrainingProcessIsStarted) {
  EXPECT_EQ(FailureOf(BrokerOperation::kTrain, 0, port_.NewDescriptor()), ENOSYS) << "nobody may";
  testing::FakeTrainingStarter training;
  handler_.AllowTraining(&training);
  const int file = port_.NewDescriptor();
  EXPECT_EQ(FailureOf(BrokerOperation::kTrain, 0, file), 0);
  EXPECT_EQ(training.last_file, file);
  EXPECT_EQ(training.due, port_.NowMs() + 1000);
  EXPECT_EQ(FailureOf(BrokerOperation::kTrain, 0, port_.NewDescriptor()), EBUSY);
  training.Attend(training.due);
  for (const int failure : {EPROTO, EAGAIN}) {
    training.refuse_with = failure;
    EXPECT_EQ(FailureOf(BrokerOperation::kTrain, 0, port_.NewDescriptor()), failure);
  }
  EXPECT_EQ(Held(), 0u) << "the files were closed";
  EXPECT_EQ(counters_.trainings.Get(), 1u);
  EXPECT_EQ(counters_.busy_trainings.Get(), 1u);
  EXPECT_EQ(counters_.refused_trainings.Get(), 2u);
}

TEST_F(RequestHandlerTest, TheDeviceIsOpened) {
  const RequestHandler::Answer answer = Ask(BrokerOperation::kOpenUserfaultfd);
  ASSERT_TRUE(port_.is_open(answer.descriptor));
  port_.Close(answer.descriptor);
  EXPECT_EQ(counters_.opened.Get(), 1u);
}

TEST_F(RequestHandlerTest, ATaskFolderNeedsTheSameMemory) {
  const RequestHandler::Answer answer =
      Ask(BrokerOperation::kOpenTasks, 0, port_.NewPidfd(kProgram));
  ASSERT_TRUE(port_.is_open(answer.descriptor));
  EXPECT_EQ(port_.last_pid, kProgram);
  port_.Close(answer.descriptor);
  EXPECT_EQ(Held(), 0u) << "the pidfd was closed";

  EXPECT_EQ(FailureOf(BrokerOperation::kOpenTasks, 0, port_.NewPidfd(kStranger)), EPERM);
  EXPECT_EQ(counters_.refused_programs.Get(), 1u);
  EXPECT_EQ(FailureOf(BrokerOperation::kOpenTasks, 0, port_.NewDescriptor()), EBADF);
  EXPECT_EQ(counters_.failed_opens.Get(), 1u);
  EXPECT_EQ(Held(), 0u);

  port_.may_compare = false;
  const RequestHandler::Answer unverified =
      Ask(BrokerOperation::kOpenTasks, 0, port_.NewPidfd(kProgram));
  ASSERT_TRUE(port_.is_open(unverified.descriptor));
  port_.Close(unverified.descriptor);
  EXPECT_EQ(counters_.unverified_programs.Get(), 1u);
}

// The pid may belong to another process by the time its file is opened.
TEST_F(RequestHandlerTest, TheFileOfAProcessThatHasEndedIsNotGiven) {
  port_.End(kEngine);
  EXPECT_EQ(FailureOf(BrokerOperation::kOpenProc), ESRCH);
  EXPECT_EQ(counters_.ended_processes.Get(), 1u);
  port_.End(kProgram);
  EXPECT_EQ(FailureOf(BrokerOperation::kOpenTasks, 0, port_.NewPidfd(kProgram)), ESRCH);
  EXPECT_EQ(Held(), 0u);
  EXPECT_EQ(counters_.opened.Get(), 0u);
}

TEST_F(RequestHandlerTest, AnOfferIsGivenOutOnce) {
  const int offered = port_.NewDescriptor();
  EXPECT_EQ(FailureOf(BrokerOperation::kOffer, 77, offered), 0);
  EXPECT_EQ(FailureOf(BrokerOperation::kOffer, 77, port_.NewDescriptor()), EEXIST);
  EXPECT_EQ(Ask(BrokerOperation::kTake, 77).descriptor, offered);
  port_.Close(offered);
  EXPECT_EQ(FailureOf(BrokerOperation::kTake, 77), ENOENT);
  EXPECT_EQ(FailureOf(BrokerOperation::kWithdraw, 77), ENOENT);
  EXPECT_EQ(FailureOf(BrokerOperation::kOffer, 77, port_.NewDescriptor()), 0);
  EXPECT_EQ(FailureOf(BrokerOperation::kWithdraw, 77), 0);
  EXPECT_EQ(Held(), 0u);
  EXPECT_EQ(counters_.offers.Get(), 2u);
  EXPECT_EQ(counters_.refused_offers.Get(), 1u);
  EXPECT_EQ(counters_.taken_offers.Get(), 1u);
  EXPECT_EQ(counters_.missed_takes.Get(), 1u);
  EXPECT_EQ(counters_.missed_withdrawals.Get(), 1u);
  EXPECT_EQ(counters_.withdrawn_offers.Get(), 1u);
}

TEST_F(RequestHandlerTest, OffersBecomeTooOld) {
  EXPECT_EQ(FailureOf(BrokerOperation::kOffer, 1, port_.NewDescriptor()), 0);
  port_.Advance(OfferTable::kLifeMs - 1);
  EXPECT_EQ(FailureOf(BrokerOperation::kOffer, 2, port_.NewDescriptor()), 0);
  EXPECT_EQ(handler_.offers().size(), 2u);
  EXPECT_EQ(handler_.offers().next_expiry_ms(), port_.NowMs() + 1);
  port_.Advance(1);
  EXPECT_EQ(FailureOf(BrokerOperation::kTake, 1), ENOENT);
  EXPECT_EQ(counters_.expired_offers.Get(), 1u);
  port_.Advance(OfferTable::kLifeMs);
  handler_.offers().Expire();
  EXPECT_EQ(counters_.expired_offers.Get(), 2u);
  EXPECT_EQ(handler_.offers().next_expiry_ms(), UINT64_MAX);
  EXPECT_EQ(Held(), 0u);
}

TEST_F(RequestHandlerTest, TooManyOffersDisplaceTheOldest) {
  for (uint64_t number = 0; number <= OfferTable::kOffersMax; ++number) {
    EXPECT_EQ(FailureOf(BrokerOperation::kOffer, number, port_.NewDescriptor()), 0);
  }
  EXPECT_EQ(counters_.displaced_offers.Get(), 1u);
  EXPECT_EQ(Held(), OfferTable::kOffersMax);
  EXPECT_EQ(FailureOf(BrokerOperation::kTake, 0), ENOENT);
  const int last = Ask(BrokerOperation::kTake, OfferTable::kOffersMax).descriptor;
  EXPECT_TRUE(port_.is_open(last));
}

TEST_F(RequestHandlerTest, WhatIsNoRequestDropsTheClient) {
  struct Row {
    const char* what;
    size_t bytes;
    void (*damage)(BrokerRequest&);
    bool descriptor;
    bool stranger;
  };
  const Row kTable[] = {
      {"empty", 0, [](BrokerRequest&) {}, false, false},
      {"short", sizeof(BrokerRequest) - 1, [](BrokerRequest&) {}, false, false},
      {"long", sizeof(BrokerRequest) + 1, [](BrokerRequest&) {}, false, false},
      {"magic", sizeof(BrokerRequest), [](BrokerRequest& r) { ++r.magic; }, false, false},
      {"version", sizeof(BrokerRequest), [](BrokerRequest& r) { ++r.version; }, false, false},
      {"operation 0", sizeof(BrokerRequest), [](BrokerRequest& r) { r.operation = {}; }, false,
       false},
      {"operation 12", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.operation = static_cast<BrokerOperation>(12); }, false, false},
      {"nothing to train with", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.operation = BrokerOperation::kTrain; }, false, false},
      {"training with an argument", sizeof(BrokerRequest),
       [](BrokerRequest& r) {
         r.operation = BrokerOperation::kTrain;
         r.argument = 1;
       },
       true, false},
      {"leaf", sizeof(BrokerRequest), [](BrokerRequest& r) { r.argument = os::kProcLeafCount; },
       false, false},
      {"a descriptor too much", sizeof(BrokerRequest), [](BrokerRequest&) {}, true, false},
      {"no pidfd", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.operation = BrokerOperation::kOpenTasks; }, false, false},
      {"nothing offered", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.operation = BrokerOperation::kOffer; }, false, false},
      {"first half of the token", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.token.words[0] ^= 1; }, false, true},
      {"second half of the token", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.token.words[1] ^= uint64_t{1} << 63; }, false, true},
      {"wrong token and a descriptor", sizeof(BrokerRequest),
       [](BrokerRequest& r) { r.token = {}; }, true, true},
  };
  uint64_t malformed = 0;
  uint64_t strangers = 0;
  for (const Row& row : kTable) {
    BrokerRequest request = Request(BrokerOperation::kOpenProc);
    row.damage(request);
    std::byte bytes[sizeof(request) + 1] = {};
    memcpy(bytes, &request, sizeof(request));
    const int descriptor = row.descriptor ? port_.NewDescriptor() : -1;
    const auto answer = handler_.Handle(std::span(bytes, row.bytes), peer_, descriptor, &guard_);
    EXPECT_EQ(answer.verdict, RequestHandler::Verdict::kDrop) << row.what;
    EXPECT_EQ(answer.descriptor, -1) << row.what;
    (row.stranger ? strangers : malformed) += 1;
    EXPECT_EQ(counters_.malformed_requests.Get(), malformed) << row.what;
    EXPECT_EQ(counters_.wrong_tokens.Get(), strangers) << row.what;
    EXPECT_EQ(Held(), 0u) << row.what;
    EXPECT_EQ(port_.calls, 0) << row.what;
  }
}

TEST_F(RequestHandlerTest, EveryFailureOfTheKernelIsReportedAndLeavesNothingOpen) {
  int failures = 0;
  for (int at = 0;; ++at) {
    port_.calls = 0;
    port_.fail_at = at;
    const BrokerOperation kAsked[] = {BrokerOperation::kOpenProc, BrokerOperation::kOpenTasks,
                                      BrokerOperation::kOpenUserfaultfd};
    for (const BrokerOperation operation : kAsked) {
      const bool tasks = operation == BrokerOperation::kOpenTasks;
      const auto answer = Ask(operation, 0, tasks ? port_.NewPidfd(kProgram) : -1);
      ASSERT_EQ(answer.verdict, RequestHandler::Verdict::kReply);
      if (answer.descriptor >= 0) port_.Close(answer.descriptor);
      EXPECT_EQ(answer.reply.errno_value, answer.descriptor >= 0 ? 0 : EMFILE);
      failures += answer.descriptor < 0 ? 1 : 0;
      EXPECT_EQ(Held(), 0u);
    }
    if (port_.calls <= at) break;
  }
  EXPECT_EQ(failures, 4);
  EXPECT_EQ(counters_.failed_opens.Get(), 4u);
}

// Offers against a plain list, with a clock that moves.
TEST_F(RequestHandlerTest, OffersFollowAModel) {
  struct Kept {
    uint64_t number;
    int descriptor;
    uint64_t since;
  };
  constexpr uint64_t kSeed = 20261127;
  printf("seed %lu\n", static_cast<unsigned long>(kSeed));
  Rng rng(kSeed);
  std::deque<Kept> model;
  const auto find = [&](uint64_t number) {
    return std::find_if(model.begin(), model.end(),
                        [&](const Kept& kept) { return kept.number == number; });
  };
  for (int round = 0; round < 20'000; ++round) {
    port_.Advance(rng.OneIn(500) ? 30'000 : rng.Below(60));
    while (!model.empty() && port_.NowMs() - model.front().since >= OfferTable::kLifeMs) {
      model.pop_front();
    }
    const uint64_t number = rng.Below(1000);
    const auto kept = find(number);
    const bool known = kept != model.end();
    const uint64_t what = rng.Below(8);
    if (what < 6) {
      const int descriptor = port_.NewDescriptor();
      EXPECT_EQ(FailureOf(BrokerOperation::kOffer, number, descriptor), known ? EEXIST : 0);
      if (!known) {
        if (model.size() == OfferTable::kOffersMax) model.pop_front();
        model.push_back({number, descriptor, port_.NowMs()});
      }
    } else if (what == 6) {
      const int taken = Ask(BrokerOperation::kTake, number).descriptor;
      EXPECT_EQ(taken, known ? kept->descriptor : -1);
      if (known) {
        model.erase(kept);
        port_.Close(taken);
      }
    } else {
      EXPECT_EQ(FailureOf(BrokerOperation::kWithdraw, number), known ? 0 : ENOENT);
      if (known) model.erase(kept);
    }
    ASSERT_EQ(handler_.offers().size(), model.size()) << "round " << round;
    ASSERT_EQ(Held(), model.size()) << "round " << round;
    handler_.offers().Audit();
  }
  EXPECT_GT(counters_.displaced_offers.Get(), 0u);
  EXPECT_GT(counters_.expired_offers.Get(), 0u);
  EXPECT_GT(counters_.taken_offers.Get(), 0u);
}

TEST(BrokerProtocolTest, ARepliesProofIsChecked) {
  BrokerReply reply;
  reply.proof = kAddress.proof;
  reply.errno_value = EPERM;
  BrokerReply read;
  const auto bytes = std::as_bytes(std::span(&reply, 1));
  EXPECT_TRUE(ParseReply(bytes, kAddress.proof, &read));
  EXPECT_EQ(read.errno_value, EPERM);
  EXPECT_FALSE(ParseReply(bytes, kAddress.token, &read));
  EXPECT_FALSE(ParseReply(bytes.first(sizeof(reply) - 1), kAddress.proof, &read));
  reply.errno_value = -1;
  EXPECT_FALSE(ParseReply(bytes, kAddress.proof, &read));
  reply.errno_value = 0;
  reply.version = 9;
  EXPECT_FALSE(ParseReply(bytes, kAddress.proof, &read));
}

}  // namespace
}  // namespace uzswap
