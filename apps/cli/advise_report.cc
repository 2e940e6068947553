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

const char* Mark(bool dictionary) { return dictionary ? "yes" : "-"; }

void AddRow(std::string& text, const std::string& codec, bool dictionary, const std::string& pool,
            double stored, double frames, double ratio, double in_ns, double out_ns) {
  const std::string in_frames = frames > 0 ? fmt::format("{:.1f}", frames) : "-";
  text += fmt::format("  {:<6} {:<10} {:<9} {:>10.1f} {:>9} {:>7.2f} {:>7.1f} {:>7.1f}\n", codec,
                      Mark(dictionary), pool, stored, in_frames, ratio, in_ns / 1e3, out_ns / 1e3);
}

std::string Rows(const Advice& advice) {
  std::string text =
      fmt::format("  {:<6} {:<10} {:<9} {:>10} {:>9} {:>7} {:>7} {:>7}\n", "codec", "dictionary",
                  "pool", "stored MiB", "pool MiB", "ratio", "us in", "us out");
  for (const CodecAdvice& codec : advice.codecs) {
    for (const PoolAdvice& pool : codec.pools) {
      AddRow(text, codec.codec, codec.dictionary, pool.pool, MiB(codec.stored_bytes),
             MiB(pool.frames * kPageSize), pool.ratio, codec.in_ns, codec.out_ns);
    }
  }
  for (const UnitAdvice& unit : advice.units) {
    AddRow(text, unit.codec, unit.dictionary, "16K units", MiB(unit.stored_bytes), 0, unit.ratio,
           unit.in_ns, unit.out_ns);
  }
  text +=
      "\n  pool: the frames it takes, with a whole frame for each incompressible page;\n"
      "  ratio: pages over frames; us: mean processor time for one page;\n"
      "  dense: zstd with more effort, which --codec auto uses for pages that stay compressed;\n"
      "  16K units: four neighbouring pages as one, the ratio without a pool; us out for the "
      "unit.\n";
  return text;
}

std::string AboutDictionary(const Advice& advice) {
  const DictionaryAdvice& dictionary = advice.dictionary;
  if (dictionary.bytes == 0) return "  No dictionary: too few pages that differ and compress.\n";
  return fmt::format(
      "  The dictionary was trained from {} pages; the rows are about {} others. It has {:.1f} "
      "KiB,\n"
      "  and takes {:.0f} KiB in each process.\n",
      dictionary.training_pages, advice.pages_measured,
      static_cast<double>(dictionary.bytes) / 1024,
      static_cast<double>(dictionary.memory_bytes) / 1024);
}

std::string LastLine(const Advice& advice) {
  const Choice choice = ChooseFrom(advice);
  if (choice.codec.empty()) {
    return "\n  use: nothing. These pages hardly compress; with --backing they can go to a disk.\n";
  }
  return fmt::format("\n  use: --codec {} --dictionary {}: {:.1f} pages in the memory of one\n",
                     choice.codec, choice.dictionary ? "auto" : "off", choice.ratio);
}

const CodecAdvice* Find(const Advice& advice, const std::string& codec, bool dictionary) {
  for (const CodecAdvice& one : advice.codecs) {
    if (one.codec == codec && one.dictionary == dictionary && !one.pools.empty()) return &one;
  }
  return nullptr;
}

}  // namespace

Choice ChooseFrom(const Advice& advice) {
  const auto best_of = [&advice](const std::string& codec) {
    Choice best;
    const CodecAdvice* const alone = Find(advice, codec, false);
    if (alone == nullptr) return best;
    best = {codec, false, alone->pools[0].ratio};
    const CodecAdvice* const with = Find(advice, codec, true);
    if (with == nullptr) return best;
    const uint64_t frames =
        with->pools[0].frames + (advice.dictionary.memory_bytes + kPageSize - 1) / kPageSize;
    if (frames + alone->pools[0].frames / 20 > alone->pools[0].frames) return best;
    return Choice{codec, true, with->pools[0].ratio};
  };
  const Choice lz4 = best_of("lz4");
  const Choice zstd = best_of("zstd");
  const Choice& best = zstd.ratio >= lz4.ratio * kZstdWorthIt ? zstd : lz4;
  return best.ratio < kRatioWorthIt ? Choice{} : best;
}

std::string ToTable(const Advice& advice) {
  const uint64_t pages = advice.pages_measured;
  std::string text = fmt::format("{}: {} pages, {:.1f} MiB", advice.source, advice.pages_there,
                                 MiB(advice.pages_there * kPageSize));
  if (advice.pages_sampled != advice.pages_there) {
    text += fmt::format("; a sample of {} pages", advice.pages_sampled);
  }
  text += "\n\n";
  text += Rows(advice) + AboutDictionary(advice);
  for (const CodecAdvice& codec : advice.codecs) {
    if (codec.dictionary) continue;
    text += fmt::format("\n  {}: {:.1f} % same-filled, {:.1f} % incompressible (above {} bytes)\n",
                        codec.codec, Percent(codec.same_filled, pages),
                        Percent(codec.incompressible, pages), kAdviseObjectMax);
    text += "  up to bytes, pages\n" + Histogram(codec);
  }
  return text + LastLine(advice);
}

std::string ToJson(const Advice& advice) {
  nlohmann::ordered_json json;
  json["source"] = advice.source;
  json["page_size"] = kPageSize;
  json["pages"] = advice.pages_there;
  json["pages_sampled"] = advice.pages_sampled;
  json["pages_measured"] = advice.pages_measured;
  json["dictionary"] = {{"training_pages", advice.dictionary.training_pages},
                        {"bytes", advice.dictionary.bytes},
                        {"memory_bytes", advice.dictionary.memory_bytes}};
  for (const CodecAdvice& codec : advice.codecs) {
    nlohmann::ordered_json one;
    one["codec"] = codec.codec;
    one["dictionary"] = codec.dictionary;
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
  json["units"] = nlohmann::ordered_json::array();
  for (const UnitAdvice& unit : advice.units) {
    json["units"].push_back({{"codec", unit.codec},
                             {"dictionary", unit.dictionary},
                             {"unit_pages", kUnitPages},
                             {"stored_bytes", unit.stored_bytes},
                             {"ratio", unit.ratio},
                             {"in_ns_per_page", unit.in_ns},
                             {"out_ns_per_unit", unit.out_ns}});
  }
  const Choice choice = ChooseFrom(advice);
  json["use"] = {{"codec", choice.codec.empty() ? "none" : choice.codec},
                 {"dictionary", choice.dictionary},
                 {"effective_ratio", choice.ratio}};
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
