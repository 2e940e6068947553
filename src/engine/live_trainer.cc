#include "engine/live_trainer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "broker/broker_client.h"
#include "os/thread.h"

namespace uzswap {
namespace {

constexpr TrainResult kFailed = {TrainOutcome::kFailed, 0};

}  // namespace

Result<void> LiveTrainer::Init(const Parts& parts) {
  parts_ = parts;
  Result<os::MemoryFile> file = os::MemoryFile::Reserve(kTrainingFileBytes, "mmap for training");
  if (!file.ok()) return file.error();
  file_ = std::move(file).value();
  return {};
}

void LiveTrainer::ForgetInChild() {
  file_.Forget();
  parts_.meter->SetCharge(Bytes(0));
}

TrainResult LiveTrainer::Train(std::span<const std::byte> samples, std::span<std::byte> to) {
  if (!parts_.member->session().broker()) return {TrainOutcome::kUnavailable, 0};
  parts_.meter->SetCharge(kCharge);
  const TrainResult result =
      AwaitRoom() ? Exchange(samples, to) : TrainResult{TrainOutcome::kBusy, 0};
  file_.Close();
  parts_.meter->SetCharge(Bytes(0));
  return result;
}

bool LiveTrainer::AwaitRoom() {
  const uint64_t until = os::MonotonicNanoseconds() + kRoomWithinNs;
  // The reserve between target and limit may be used: a training is short. The limit is that of
  // now.
  const Watermarks marks = WatermarksFor(parts_.member->session().limit());
  const auto reserve = static_cast<int64_t>(PagesWithin(marks.limit - marks.target).raw());
  do {
    parts_.waker->Wake();
    os::SleepFor(kLookEveryNs);
    if (parts_.meter->charged() == kCharge && parts_.headroom->Get() >= -reserve) return true;
  } while (os::MonotonicNanoseconds() < until);
  return false;
}

TrainResult LiveTrainer::Exchange(std::span<const std::byte> samples, std::span<std::byte> to) {
  if (!file_.Open("uzswap-training").ok()) return kFailed;
  auto& file = *reinterpret_cast<TrainingFile*>(file_.data());
  const size_t bytes = std::min(samples.size(), sizeof(file.samples));
  memcpy(file.samples, samples.data(), bytes);
  if (!RequestTraining(file, ++sequence_, static_cast<uint32_t>(bytes >> kPageShift))) {
    return kFailed;
  }
  {
    Result<BrokerClient> client = BrokerClient::Connect(*parts_.member->session().broker());
    if (!client.ok()) return {TrainOutcome::kUnavailable, 0};
    const Result<void> begun = client.value().Train(file_.descriptor());
    if (!begun.ok() && begun.error().errno_value == EBUSY) return {TrainOutcome::kBusy, 0};
    if (!begun.ok()) return kFailed;
  }
  const TrainResult result = AwaitAnswer(file, to);
  EndTraining(file);
  return result;
}

TrainResult LiveTrainer::AwaitAnswer(TrainingFile& file, std::span<std::byte> to) {
  const uint64_t until = os::MonotonicNanoseconds() + kAnswerWithinNs;
  while (os::MonotonicNanoseconds() < until) {
    os::SleepFor(kLookEveryNs);
    const TrainingAnswer answer = CheckedAnswer(file, sequence_);
    switch (answer.outcome) {
      case TrainingOutcome::kPending:
        continue;
      case TrainingOutcome::kDone:
        if (answer.content.size() > to.size()) return kFailed;
        memcpy(to.data(), answer.content.data(), answer.content.size());
        return {TrainOutcome::kTrained, answer.content.size()};
      case TrainingOutcome::kFailed:
      case TrainingOutcome::kBroken:
        return kFailed;
    }
  }
  return kFailed;
}

}  // namespace uzswap
