#include "os/huge_pages.h"

#include <sys/prctl.h>

#include <gtest/gtest.h>

namespace uzswap::os {
namespace {

int Forbidden() { return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0); }

TEST(HugePages, AreForbiddenAndPermittedAgain) {
  ASSERT_EQ(Forbidden(), 0);
  HugePages pages;
  pages.Permit(true);
  EXPECT_EQ(Forbidden(), 0);
  for (int i = 0; i < 2; ++i) {
    pages.Permit(false);
    EXPECT_EQ(Forbidden(), 1);
  }
  for (int i = 0; i < 2; ++i) {
    pages.Permit(true);
    EXPECT_EQ(Forbidden(), 0);
  }
}

TEST(HugePages, WhatTheProgramHasForbiddenStaysForbidden) {
  ASSERT_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
  HugePages pages;
  pages.Permit(false);
  pages.Permit(true);
  EXPECT_EQ(Forbidden(), 1);
  ASSERT_EQ(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
}

}  // namespace
}  // namespace uzswap::os
