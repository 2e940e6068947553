#include "backing/write_health.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

TEST(WriteHealthTest, EachErrorHasItsConsequence) {
  const struct {
    int error;
    bool spoils;
    int failures_until_closed;  // 0: never
  } table[] = {
      {ENOSPC, false, 0}, {EIO, true, 4},   {ETIMEDOUT, true, 4}, {ENODEV, true, 1},
      {ENXIO, true, 1},   {EROFS, true, 1}, {EBADF, true, 1},
  };
  for (const auto& [error, spoils, until_closed] : table) {
    WriteHealth health;
    for (int failure = 1; failure <= 6; ++failure) {
      EXPECT_EQ(health.NoteWriteFailed(error), spoils) << error;
      EXPECT_EQ(health.last_error(), error);
      EXPECT_EQ(health.closed(), until_closed != 0 && failure >= until_closed) << error;
    }
  }
}

TEST(WriteHealthTest, OnlySpoiltSegmentsInARowClose) {
  WriteHealth health;
  for (int round = 0; round < 10; ++round) {
    for (int failure = 0; failure < 3; ++failure) EXPECT_TRUE(health.NoteWriteFailed(EIO));
    health.NoteWritten();
  }
  EXPECT_FALSE(health.closed());
}

TEST(WriteHealthTest, AFullMediumIsTriedAfterAReleaseOrNowAndThen) {
  WriteHealth health;
  EXPECT_TRUE(health.MayTry());
  EXPECT_FALSE(health.NoteWriteFailed(ENOSPC));
  int refusals = 0;
  while (refusals < 1000 && !health.MayTry()) ++refusals;
  EXPECT_EQ(refusals, 255);
  EXPECT_FALSE(health.MayTry());
  health.NoteReleased();
  EXPECT_TRUE(health.MayTry());
  EXPECT_TRUE(health.MayTry()) << "as long as no write fails again";
}

TEST(WriteHealthTest, AFailedReadIsRememberedAndClosesNothing) {
  WriteHealth health;
  health.NoteReadFailed(EIO);
  EXPECT_EQ(health.last_error(), EIO);
  EXPECT_FALSE(health.closed());
  health.Close(EROFS);
  EXPECT_TRUE(health.closed());
  EXPECT_EQ(health.last_error(), EROFS);
}

}  // namespace
}  // namespace uzswap
