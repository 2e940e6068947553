#include "engine/statistics_publisher.h"

#include <gtest/gtest.h>

namespace uzswap {
namespace {

class StatisticsPublisherTest : public testing::Test {
 protected:
  void Publish() { publisher_.Publish(cache_, writer_, &file_, to_); }

  CacheCounters cache_;
  WritebackCounters writer_;
  BackingCounters file_;
  Statistics to_;
  StatisticsPublisher publisher_;
};

TEST_F(StatisticsPublisherTest, EachSumComesFromItsCounters) {
  struct Case {
    const char* what;
    RelaxedCounter* from;
    RelaxedCounter Statistics::*figure;
  };
  const Case cases[] = {
      {"zswpwb", &cache_.zswpwb, &Statistics::zswpwb},
      {"frames_freed", &writer_.frames_freed, &Statistics::frames_freed},
      {"objects_evicted", &writer_.objects_evicted, &Statistics::objects_evicted},
      {"objects_moved", &writer_.objects_moved, &Statistics::objects_moved},
      {"recompressed", &cache_.recompressed, &Statistics::recompressed_pages},
      {"load_retries", &cache_.load_retries, &Statistics::lost_races},
      {"writes_lost", &cache_.writes_lost, &Statistics::lost_races},
      {"relocations_lost", &cache_.relocations_lost, &Statistics::lost_races},
      {"recompress_lost", &cache_.recompress_lost, &Statistics::lost_races},
      {"evict_gone", &cache_.evict_gone, &Statistics::lost_races},
      {"bytes_written", &file_.bytes_written, &Statistics::backing_written_bytes},
      {"objects_densified", &writer_.objects_densified, &Statistics::densified_pages},
      {"idle_bytes", &writer_.idle_bytes, &Statistics::backing_idle_bytes},
      {"payload_bytes", &file_.payload_bytes, &Statistics::backing_payload_bytes},
      {"write_requests", &file_.write_requests, &Statistics::backing_requests},
      {"reads", &file_.reads, &Statistics::backing_reads},
      {"write_errors", &file_.write_errors, &Statistics::backing_errors},
      {"read_errors", &file_.read_errors, &Statistics::backing_errors},
      {"corrupt_objects", &file_.corrupt_objects, &Statistics::backing_errors},
      {"misplaced_objects", &file_.misplaced_objects, &Statistics::backing_errors},
      {"blocked", &writer_.blocked, &Statistics::backing_refusals},
  };
  for (const Case& c : cases) {
    const uint64_t before = (to_.*c.figure).Get();
    c.from->Add(3);
    Publish();
    EXPECT_EQ((to_.*c.figure).Get(), before + 3) << c.what;
    // Nothing new: nothing is added.
    Publish();
    EXPECT_EQ((to_.*c.figure).Get(), before + 3) << c.what;
  }
}

TEST_F(StatisticsPublisherTest, SumsLeaveRoomForWhatOthersAdd) {
  writer_.objects_moved.Add(10);
  Publish();
  to_.objects_moved.Add(7);
  writer_.objects_moved.Add(1);
  Publish();
  EXPECT_EQ(to_.objects_moved.Get(), 18u);
}

TEST_F(StatisticsPublisherTest, Levels) {
  cache_.uncompressed_in.Add(9);
  cache_.uncompressed_out.Add(4);
  cache_.disk_in.Add(100);
  cache_.disk_out.Add(30);
  cache_.disk_bytes_in.Add(5000);
  cache_.disk_bytes_out.Add(1000);
  file_.deepest_queue.Set(8);
  Publish();
  EXPECT_EQ(to_.stored_incompressible_pages.Get(), 5u);
  EXPECT_EQ(to_.written_back_pages.Get(), 70u);
  EXPECT_EQ(to_.written_back_bytes.Get(), 4000u);
  EXPECT_EQ(to_.backing_queue_peak.Get(), 8u);
  cache_.uncompressed_out.Add(5);
  file_.deepest_queue.Set(2);
  Publish();
  EXPECT_EQ(to_.stored_incompressible_pages.Get(), 0u);
  EXPECT_EQ(to_.backing_queue_peak.Get(), 8u);
}

TEST_F(StatisticsPublisherTest, WithoutAFile) {
  cache_.zswpwb.Add(1);
  publisher_.Publish(cache_, writer_, nullptr, to_);
  EXPECT_EQ(to_.zswpwb.Get(), 1u);
  EXPECT_EQ(to_.backing_reads.Get(), 0u);
  EXPECT_EQ(to_.backing_queue_peak.Get(), 0u);
}

TEST_F(StatisticsPublisherTest, AChildDoesNotPublishWhatItsParentCounted) {
  file_.reads.Add(5);
  Publish();
  file_.reads.Add(6);  // between the parent's last publication and the fork
  Statistics child;
  publisher_.ForgetInChild();
  cache_.disk_in.Add(2);
  publisher_.Publish(cache_, writer_, &file_, child);
  EXPECT_EQ(child.backing_reads.Get(), 0u);
  EXPECT_EQ(child.written_back_pages.Get(), 2u);  // levels are its own
  file_.reads.Add(1);
  publisher_.Publish(cache_, writer_, &file_, child);
  EXPECT_EQ(child.backing_reads.Get(), 1u);
}

TEST_F(StatisticsPublisherTest, ThePageAccountIsNotTouched) {
  cache_.zswpwb.Add(1);
  Publish();
  EXPECT_EQ(to_.zswpin.Get() + to_.zswpout.Get(), 0u);
}

TEST_F(StatisticsPublisherTest, ThePoolIsDueEveryTwoMilliseconds) {
  const uint64_t now = uint64_t{1} << 40;
  EXPECT_TRUE(publisher_.PoolDue(now));
  EXPECT_FALSE(publisher_.PoolDue(now));
  EXPECT_FALSE(publisher_.PoolDue(now + StatisticsPublisher::kPoolEveryNs - 1));
  EXPECT_TRUE(publisher_.PoolDue(now + StatisticsPublisher::kPoolEveryNs));
  EXPECT_FALSE(publisher_.PoolDue(now + StatisticsPublisher::kPoolEveryNs + 1));
}

}  // namespace
}  // namespace uzswap
