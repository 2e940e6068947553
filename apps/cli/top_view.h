// The screen of `uzswap top`, as lines of text.
//
//   uzswap top: 1 run, 2 processes   sorted by used, every 1 s   h: help             kTitle
//
//   run 4711: 498.2M of 512.0M [|||||||||||||||||| ] 97 %, backing /var/tmp          kRun
//       PID PROGRAM           USED    POOL RATIO  STORED ON DISK FAULT/s STALL   P99  kHeader
//      4712 redis-server    480.0M   80.1M  3.40    1.1G  820.0M    1234   12%  80us  kRow
//
// It fits 80 columns; wider screens also show a history of each process's stall. Pure text, so that
// it can be tested and printed without a terminal. ASCII only: names are other users' bytes.
#ifndef UZSWAP_APPS_CLI_TOP_VIEW_H_
#define UZSWAP_APPS_CLI_TOP_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "top_model.h"

namespace uzswap::cli {

enum class TopStyle : uint8_t { kTitle, kRun, kHeader, kRow, kNote };

struct TopLine {
  std::string text;
  TopStyle style = TopStyle::kRow;
};

struct TopScreen {
  size_t columns = 80;
  double interval_s = 1;
  bool paused = false;
};

// All lines; no line is longer than the screen is wide.
std::vector<TopLine> RenderTop(const TopModel& model, const TopScreen& screen);
std::vector<TopLine> TopHelp();

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_TOP_VIEW_H_
