#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "advise.h"

namespace uzswap::cli {
namespace {

constexpr size_t kBarWidth = 40;

double MiB(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string Histogram(const CodecAdvice& codec) {
  const uint64_t most = *std::max_element(codec.histogram.begin(), codec.histogram.end());
  std::string text;
  for (size_t i = 0; i < kAdviseBuckets; ++i) {
    const uint64_t count = codec.histogram[i];
    const size_t width = most == 0 ? 0 : (count * kBarWidth + most - 1) / most;
    const size_t end = (i + 1) * kPageSize / kAdviseBuckets;
    std::string line = fmt::format("  {:>5} {:>9} {}", end, count, std::string(width, '#'));
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace

std::string ToTable(const Advice& advice) {
  const uint64_t pages = advice.pages_sampled;
  std::string text = fmt::format("{}: {} pages, {:.1f} MiB", advice.source, advice.pages_there,
                                 MiB(advice.pages_there * kPageSize));
  if (pages != advice.pages_there) text += fmt::format("; a sample of {} pages", pages);
  text += "\n\n";
  text += fmt::format("  {:<6} {:<9} {:>11} {:>11} {:>7} {:>9} {:>9}\n", "codec", "pool",
                      "stored MiB", "pool MiB", "ratio", "us in", "us out");
  for (const CodecAdvice& codec : advice.codecs) {
    for (const PoolAdvice& pool : codec.pools) {
      text +=
          fmt::format("  {:<6} {:<9} {:>11.1f} {:>11.1f} {:>7.2f} {:>9.1f} {:>9.1f}\n", codec.codec,
                      pool.pool, MiB(codec.stored_bytes), MiB(pool.frames * kPageSize), pool.ratio,
                      codec.in_ns / 1e3, codec.out_ns / 1e3);
    }
  }
  text +=
      "\n  pool: the frames it takes, with a whole frame for each incompressible page;\n"
      "  ratio: pages over frames; us: mean processor time for one page.\n";
  for (const CodecAdvice& codec : advice.codecs) {
    text += fmt::format("\n  {}: {:.1f} % same-filled, {:.1f} % incompressible (above {} bytes)\n",
                        codec.codec, Percent(codec.same_filled, pages),
                        Percent(codec.incompressible, pages), kAdviseObjectMax);
    text += "  up to bytes, pages\n" + Histogram(codec);
  }
  return text;
}

std::string ToJson(const Advice& advice) {
  nlohmann::ordered_json json;
  json["source"] = advice.source;
  json["page_size"] = kPageSize;
  json["pages"] = advice.pages_there;
  json["pages_sampled"] = advice.pages_sampled;
  for (const CodecAdvice& codec : advice.codecs) {
    nlohmann::ordered_json one;
    one["codec"] = codec.codec;
    one["same_filled_pages"] = codec.same_filled;
    one["incompressible_pages"] = codec.incompressible;
    one["stored_bytes"] = codec.stored_bytes;
    one["in_ns_per_page"] = codec.in_ns;
    one["out_ns_per_page"] = codec.out_ns;
    one["histogram_bucket_bytes"] = kPageSize / kAdviseBuckets;
    one["histogram"] = codec.histogram;
    for (const PoolAdvice& pool : codec.pools) {
      one["pools"].push_back({{"pool", pool.pool},
                              {"frames", pool.frames},
                              {"pool_bytes", pool.frames * kPageSize},
                              {"effective_ratio", pool.ratio}});
    }
    json["codecs"].push_back(std::move(one));
  }
  // A file name need not be UTF-8; JSON must be.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int AdviseCommand(const AdviseRequest& request) {
  const OrRefusal<PageSample> sample =
      request.pages.empty() ? ReadPagesOfProcess(request.pid) : ReadPagesFile(request.pages);
  if (const Refusal* refusal = RefusalOf(sample)) {
    fputs(Render(*refusal).c_str(), stderr);
    return refusal->status;
  }
  const OrRefusal<Advice> advice = Measure(std::get<PageSample>(sample));
  if (const Refusal* refusal = RefusalOf(advice)) {
    fputs(Render(*refusal).c_str(), stderr);
    return refusal->status;
  }
  const Advice& found = std::get<Advice>(advice);
  fputs((request.json ? ToJson(found) : ToTable(found)).c_str(), stdout);
  return fflush(stdout) == 0 ? 0 : kCannotDo;
}

}  // namespace uzswap::cli
