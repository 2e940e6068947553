#include "train_command.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

#include "codec/codec.h"
#include "dictionary_files.h"
#include "train/dictionary_trainer.h"

namespace uzswap::cli {
namespace {

Refusal CannotTrain(const PageSample& sample, Error error) {
  if (error.errno_value == ENODATA) {
    return {kCannotDo,
            fmt::format("{}: at least {} pages are needed that differ from each other and can be"
                        " compressed",
                        sample.source, kTrainingPagesMin),
            "take the pages of a program that has worked for a while, and is as it usually is"};
  }
  return {kCannotDo, std::string(error.what) + ": " + strerror(error.errno_value), ""};
}

double Ratio(uint64_t pages, uint64_t bytes) {
  return static_cast<double>(pages * kPageSize) / static_cast<double>(bytes > 0 ? bytes : 1);
}

// Whether a user would see the difference: zstd saves a twentieth of what it needs without.
bool IsWorthIt(const TrainedCodec& codec) {
  return codec.with_bytes + codec.alone_bytes / 20 <= codec.alone_bytes;
}

}  // namespace

OrRefusal<Training> Train(const PageSample& sample, size_t bytes) {
  const SplitPages split = Split(sample.bytes, kMeasuredOneIn);
  Training training;
  training.source = sample.source;
  training.pages_there = sample.pages_there;
  training.training_pages = split.others.size() / kPageSize;
  training.measured_pages = split.chosen.size() / kPageSize;
  training.content.resize(bytes);
  const Result<size_t> trained = TrainDictionary(split.others, training.content);
  if (!trained.ok()) return CannotTrain(sample, trained.error());
  training.content.resize(trained.value());
  constexpr CodecId kCodecs[] = {CodecId::kLz4, CodecId::kZstd};
  for (size_t i = 0; i < training.codecs.size(); ++i) {
    const Codec& codec = *CodecById(kCodecs[i]);
    const Result<uint64_t> alone = CompressedBytes(codec, split.chosen, {});
    if (!alone.ok()) return CannotTrain(sample, alone.error());
    const Result<uint64_t> with = CompressedBytes(codec, split.chosen, training.content);
    if (!with.ok()) return CannotTrain(sample, with.error());
    training.codecs[i] = {codec.name(), alone.value(), with.value()};
  }
  return training;
}

std::string ToTable(const Training& training, const std::string& path) {
  constexpr double kKiB = 1024;
  std::string text = fmt::format("{}: {} pages; trained from {}, measured on {} others\n\n",
                                 training.source, training.pages_there,
                                 std::min<uint64_t>(training.training_pages, kTrainingPagesMax),
                                 training.measured_pages);
  text += fmt::format("  {:<6} {:<12} {:>14} {:>7}\n", "codec", "dictionary", "compressed KiB",
                      "ratio");
  const auto add = [&](const char* codec, const char* dictionary, uint64_t bytes) {
    text += fmt::format("  {:<6} {:<12} {:>14.0f} {:>7.2f}\n", codec, dictionary,
                        static_cast<double>(bytes) / kKiB, Ratio(training.measured_pages, bytes));
  };
  for (const TrainedCodec& codec : training.codecs) {
    add(codec.codec.c_str(), "-", codec.alone_bytes);
    add(codec.codec.c_str(), "yes", codec.with_bytes);
  }
  text += fmt::format("\n  {}: {:.1f} KiB, version {:06x}\n", path,
                      static_cast<double>(training.content.size()) / kKiB,
                      DictionaryVersionOf(training.content));
  if (!IsWorthIt(training.codecs.back())) {
    text += "  It gains little here: these pages have little in common.\n";
  }
  text += fmt::format("  use it: uzswap run --dictionary {} -- COMMAND\n", path);
  return text;
}

int TrainCommand(const TrainRequest& request) {
  const auto refuse = [](const Refusal& refusal) {
    fputs(Render(refusal).c_str(), stderr);
    return refusal.status;
  };
  const OrRefusal<PageSample> sample = request.pages.empty()
                                           ? ReadPagesOfProcess(request.pid, "train")
                                           : ReadPagesFile(request.pages);
  if (const Refusal* refusal = RefusalOf(sample)) return refuse(*refusal);
  const OrRefusal<Training> trained = Train(std::get<PageSample>(sample), request.bytes);
  if (const Refusal* refusal = RefusalOf(trained)) return refuse(*refusal);
  const Training& training = std::get<Training>(trained);
  if (const auto refusal = WriteDictionaryFile(request.output, training.content)) {
    return refuse(*refusal);
  }
  fputs(ToTable(training, request.output).c_str(), stdout);
  return fflush(stdout) == 0 ? 0 : kCannotDo;
}

}  // namespace uzswap::cli
