#include "engine/tree_reservation.h"

#include <gtest/gtest.h>
#include <utility>

namespace uzswap {

struct SessionTestPeer {
  static std::optional<ProcessRecord> ClaimAs(Session& session, const os::ProcessIdentity& self) {
    return session.ClaimAs(self, "test");
  }
};

namespace {

constexpr Bytes kMiB(1 << 20);
constexpr Options kOptions{Bytes(64 << 20), CodecMode::kLz4, PoolKind::kZsmalloc};

TEST(TreeReservation, ABoundIsSharedWithOtherProcesses) {
  Session session = std::move(Session::CreatePrivate(kOptions)).value();
  const std::optional<ProcessRecord> other = SessionTestPeer::ClaimAs(session, {2, 1, 1});
  ASSERT_TRUE(other.has_value());
  SessionMember member;
  ASSERT_TRUE(member.Join(std::move(session), "this").ok());
  TreeReservation space(SharedSpace::kPool, StorageBounds::kPoolMin);
  Reservation reservation;
  space.Bind(member, Bytes(8 << 20), reservation);
  EXPECT_EQ(reservation.step(), 64u << 10);
  EXPECT_EQ(reservation.allowed(), StorageBounds::kPoolMin.raw());

  EXPECT_TRUE(reservation.Cover(6 << 20));
  EXPECT_EQ(member.session().TreeReserved(SharedSpace::kPool), Bytes(6 << 20));
  EXPECT_FALSE(other->Reserve(SharedSpace::kPool, Bytes(3 << 20), Bytes(8 << 20)));
  EXPECT_TRUE(other->Reserve(SharedSpace::kPool, Bytes(2 << 20), Bytes(8 << 20)));
  EXPECT_FALSE(reservation.Cover((6 << 20) + 1));
  EXPECT_EQ(member.statistics().reservations_refused.Get(), 2u);
  // The bound of the files is another one.
  EXPECT_TRUE(other->Reserve(SharedSpace::kFile, Bytes(8 << 20), Bytes(8 << 20)));

  reservation.ReturnBeyond(1 << 20);
  EXPECT_TRUE(other->Reserve(SharedSpace::kPool, Bytes(4 << 20), Bytes(8 << 20)));
  reservation.ReturnBeyond(0);
}

TEST(TreeReservation, TheBoundCanChange) {
  SessionMember member;
  ASSERT_TRUE(member.Join(std::move(Session::CreatePrivate(kOptions)).value(), "this").ok());
  TreeReservation space(SharedSpace::kPool, StorageBounds::kPoolMin);
  Reservation reservation;
  space.Bind(member, Bytes(8 << 20), reservation);
  EXPECT_TRUE(reservation.Cover(8 << 20));
  space.SetBound(Bytes(4 << 20));
  reservation.ReturnBeyond(4 << 20);
  EXPECT_FALSE(reservation.Cover(5 << 20));
  space.SetBound(Bytes(16 << 20));
  EXPECT_TRUE(reservation.Cover(16 << 20));
  reservation.ReturnBeyond(0);
}

TEST(TreeReservation, StepsFollowTheBoundWithinLimits) {
  struct Case {
    Bytes bound, step;
  };
  const Case cases[] = {{Bytes(0), Bytes(64 << 10)},
                        {kMiB, Bytes(64 << 10)},
                        {Bytes(30 << 20), Bytes(120 << 10)},
                        {Bytes(256 << 20), kMiB},
                        {Bytes(uint64_t{1} << 40), kMiB}};
  for (const Case& c : cases) EXPECT_EQ(TreeReservation::StepOf(c.bound), c.step);
}

}  // namespace
}  // namespace uzswap
