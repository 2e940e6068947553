#include "top_command.h"

#include <curses.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termcap.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "os/thread.h"
#include "refusal.h"
#include "top_view.h"

namespace uzswap::cli {
namespace {

constexpr int kControlL = 'L' & 0x1F;
constexpr int kPausedMs = 1000;
constexpr size_t kOnceColumns = 120;

// Set by signals that ask for the end. The terminal is restored before it.
volatile sig_atomic_t asked_to_end = 0;

void AskToEnd(int signal) { asked_to_end = signal; }

size_t TerminalColumns() {
  winsize size = {};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kOnceColumns;
}

// The figures are read at the end of a look, after all processes of the machine were listed.
uint64_t Look(TopModel& model) {
  const PsReport report = FindRuns();
  const uint64_t now_ns = os::MonotonicNanoseconds();
  model.Update(report, now_ns);
  return now_ns;
}

// Rates need two looks.
int PrintOnce(const TopRequest& request) {
  TopModel model;
  model.SetOrder(request.order);
  bool first = true;
  Look(model);
  poll(nullptr, 0, static_cast<int>(request.interval_s * 1000));
  Look(model);
  for (const TopLine& line : RenderTop(model, {TerminalColumns(), request.interval_s, false})) {
    if (line.style == TopStyle::kTitle || (first && line.text.empty())) continue;
    first = false;
    std::printf("%s\n", line.text.c_str());
  }
  return std::fflush(stdout) == 0 ? 0 : kCannotDo;
}

// The terminal in curses mode. The destructor restores it.
class Curses {
 public:
  // Null if the terminal is not known, in which case nothing has changed.
  Curses() {
    // newterm would leave memory behind.
    const char* term = getenv("TERM");
    if (term == nullptr || tgetent(nullptr, term) != 1) return;
    // Before curses, which would install handlers of its own. Without SA_RESTART: getch returns.
    struct sigaction action = {};
    action.sa_handler = AskToEnd;
    for (const int each : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaction(each, &action, nullptr);
    screen_ = newterm(nullptr, stdout, stdin);
    if (screen_ == nullptr) return;
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
  }
  Curses(const Curses&) = delete;
  Curses& operator=(const Curses&) = delete;
  ~Curses() {
    if (screen_ == nullptr) return;
    endwin();
    delscreen(screen_);
  }
  [[nodiscard]] bool ok() const { return screen_ != nullptr; }

 private:
  SCREEN* screen_ = nullptr;
};

chtype AttributeOf(TopStyle style) {
  switch (style) {
    case TopStyle::kTitle:
    case TopStyle::kHeader:
      return A_REVERSE;
    case TopStyle::kRun:
    case TopStyle::kNote:
      return A_BOLD;
    case TopStyle::kRow:
      return A_NORMAL;
  }
  return A_NORMAL;
}

class TopScreenLoop {
 public:
  explicit TopScreenLoop(const TopRequest& request) : interval_s_(request.interval_s) {
    model_.SetOrder(request.order);
  }

  // Returns the exit status.
  int Run() {
    looked_ns_ = Look(model_);
    while (!ended_ && asked_to_end == 0) {
      FollowSize();
      Draw();
      timeout(paused_ ? kPausedMs : LeftMs());
      const int key = getch();
      if (key != ERR) {
        Press(key);
      } else if (TerminalIsGone()) {
        return kCannotDo;
      }
      if (!paused_ && LeftMs() == 0) looked_ns_ = Look(model_);
    }
    return asked_to_end == 0 ? 0 : 128 + asked_to_end;
  }

 private:
  // From the end of a look, so that keys are served also where a look takes longer than that.
  [[nodiscard]] int LeftMs() const {
    const double passed_ms = static_cast<double>(os::MonotonicNanoseconds() - looked_ns_) / 1e6;
    return static_cast<int>(std::ceil(std::max(0.0, interval_s_ * 1000 - passed_ms)));
  }

  // Then getch always returns at once.
  static bool TerminalIsGone() {
    pollfd terminal = {STDIN_FILENO, POLLIN, 0};
    return poll(&terminal, 1, 0) > 0 && (terminal.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  }

  // No signal tells of a change while top is stopped.
  static void FollowSize() {
    winsize size = {};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
      return;
    if (size.ws_row != LINES || size.ws_col != COLS) resizeterm(size.ws_row, size.ws_col);
  }

  void Draw() {
    const auto rows = static_cast<size_t>(std::max(LINES, 1));
    const auto columns = static_cast<size_t>(std::max(COLS, 1));
    const std::vector<TopLine> lines =
        help_ ? TopHelp() : RenderTop(model_, {columns, interval_s_, paused_});
    // The first line stays.
    const size_t most = lines.size() > rows ? lines.size() - rows : 0;
    size_t& scrolled = help_ ? help_scrolled_ : scrolled_;
    scrolled = std::min(scrolled, most);
    erase();
    for (size_t row = 0; row < rows && row < lines.size(); ++row) {
      const TopLine& line = lines[row == 0 ? 0 : row + scrolled];
      attrset(AttributeOf(line.style));
      mvaddnstr(static_cast<int>(row), 0, line.text.c_str(), static_cast<int>(columns));
    }
    refresh();
  }

  void Press(int key) {
    if (Scroll(key, help_ ? help_scrolled_ : scrolled_)) return;
    if (key == kControlL || key == KEY_RESIZE) {
      clearok(curscr, TRUE);
      return;
    }
    if (help_) {
      help_ = false;
      return;
    }
    switch (key) {
      case 'q':
      case 'Q':
      case KEY_F(10):
        ended_ = true;
        break;
      case ' ':
        paused_ = !paused_;
        break;
      case 'h':
      case '?':
      case KEY_F(1):
        help_ = true;
        break;
      case '+':
        interval_s_ = std::min(interval_s_ * 2, kTopIntervalMax);
        break;
      case '-':
        interval_s_ = std::max(interval_s_ / 2, kTopIntervalMin);
        break;
      case '>':
      case KEY_RIGHT:
        Turn(1);
        break;
      case '<':
      case KEY_LEFT:
        Turn(kTopOrders - 1);
        break;
      default:
        SortByKey(key);
    }
  }

  // True if it was such a key. Draw limits how far.
  static bool Scroll(int key, size_t& scrolled) {
    const auto page = static_cast<size_t>(std::max(LINES - 2, 1));
    switch (key) {
      case KEY_DOWN:
      case 'j':
        ++scrolled;
        return true;
      case KEY_UP:
      case 'k':
        scrolled -= scrolled > 0 ? 1 : 0;
        return true;
      case KEY_NPAGE:
        scrolled += page;
        return true;
      case KEY_PPAGE:
        scrolled -= std::min(scrolled, page);
        return true;
      case KEY_HOME:
        scrolled = 0;
        return true;
      case KEY_END:
        scrolled = SIZE_MAX / 2;
        return true;
      default:
        return false;
    }
  }

  void Turn(size_t by) {
    const size_t next = (static_cast<size_t>(model_.order()) + by) % kTopOrders;
    model_.SetOrder(static_cast<TopOrder>(next));
  }

  void SortByKey(int key) {
    constexpr std::pair<int, TopOrder> kKeys[] = {{'M', TopOrder::kUsed},
                                                  {'S', TopOrder::kStall},
                                                  {'F', TopOrder::kFaults},
                                                  {'L', TopOrder::kPool},
                                                  {'N', TopOrder::kPid}};
    for (const auto& [letter, order] : kKeys) {
      if (key == letter) model_.SetOrder(order);
    }
  }

  TopModel model_;
  double interval_s_;
  uint64_t looked_ns_ = 0;
  size_t scrolled_ = 0;
  size_t help_scrolled_ = 0;
  bool paused_ = false;
  bool help_ = false;
  bool ended_ = false;
};

int Refuse(const Refusal& refusal) {
  std::fputs(Render(refusal).c_str(), stderr);
  return refusal.status;
}

}  // namespace

std::optional<TopOrder> TopOrderByName(const std::string& name) {
  for (size_t i = 0; i < kTopOrders; ++i) {
    if (name == Name(static_cast<TopOrder>(i))) return static_cast<TopOrder>(i);
  }
  return std::nullopt;
}

int TopCommand(const TopRequest& request) {
  if (request.once) return PrintOnce(request);
  if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0) {
    return Refuse({kCannotDo, "top needs a terminal", "uzswap top --once, or uzswap ps"});
  }
  const Curses curses;
  if (!curses.ok()) {
    const char* term = getenv("TERM");
    const std::string name = term == nullptr ? "" : term;
    return Refuse({kCannotDo, "the terminal '" + name + "' is not known",
                   "TERM=xterm uzswap top, or uzswap top --once"});
  }
  return TopScreenLoop(request).Run();
}

}  // namespace uzswap::cli
