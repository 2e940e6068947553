#include "base/check.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace uzswap {
namespace {

// Relaxed is enough: it is written once at start and read by a thread that panics.
std::atomic<PanicHook> g_hook{nullptr};

constexpr int kLineMax = 512;

// A line on the stack. printf is not used because it may take locks and allocate.
class Line {
 public:
  void Text(const char* text) {
    while (*text != '\0' && length_ < kLineMax - 1) buffer_[length_++] = *text++;
  }
  void Decimal(uint64_t value) {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (count > 0 && length_ < kLineMax - 1) buffer_[length_++] = digits[--count];
  }
  [[noreturn]] void Die() {
    buffer_[length_++] = '\n';
    if (PanicHook hook = g_hook.load(std::memory_order_relaxed)) {
      hook(buffer_, static_cast<uint64_t>(length_));
    }
    // If this write fails there is no other way to report it.
    [[maybe_unused]] ssize_t written = write(STDERR_FILENO, buffer_, static_cast<size_t>(length_));
    abort();
  }

 private:
  char buffer_[kLineMax + 1];
  int length_ = 0;
};

void Begin(Line& line, const char* file, int source_line, const char* what) {
  line.Text("uzswap: ");
  line.Text(file);
  line.Text(":");
  line.Decimal(static_cast<uint64_t>(source_line));
  line.Text(": ");
  line.Text(what);
}

}  // namespace

void SetPanicHook(PanicHook hook) { g_hook.store(hook, std::memory_order_relaxed); }

void Panic(const char* file, int line, const char* what) {
  Line text;
  Begin(text, file, line, what);
  text.Die();
}

void PanicOperands(const char* file, int line, const char* what, uint64_t left, uint64_t right) {
  Line text;
  Begin(text, file, line, what);
  text.Text(" (");
  text.Decimal(left);
  text.Text(" against ");
  text.Decimal(right);
  text.Text(")");
  text.Die();
}

}  // namespace uzswap
