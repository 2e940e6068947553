// TextLine: builds a short text on the stack, for paths and messages. printf is not used because it
// takes locks, allocates and reads the program's locale.
//
// Text that does not fit is cut off. c_str() always ends with a zero byte.
#ifndef UZSWAP_OS_TEXT_LINE_H_
#define UZSWAP_OS_TEXT_LINE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace uzswap::os {

template <size_t kCapacity>
class TextLine {
 public:
  TextLine& Text(std::string_view text) {
    for (const char c : text) Put(c);
    return *this;
  }
  TextLine& Hexadecimal(uint64_t value) {
    char digits[16];
    int count = 0;
    do {
      digits[count++] = "0123456789abcdef"[value % 16];
      value /= 16;
    } while (value != 0);
    while (count > 0) Put(digits[--count]);
    return *this;
  }
  TextLine& Decimal(uint64_t value) {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (count > 0) Put(digits[--count]);
    return *this;
  }

  [[nodiscard]] const char* c_str() const { return text_; }
  [[nodiscard]] std::string_view view() const { return {text_, length_}; }

 private:
  void Put(char c) {
    if (length_ < kCapacity - 1) text_[length_++] = c;
  }

  char text_[kCapacity] = {};
  size_t length_ = 0;
};

}  // namespace uzswap::os

#endif  // UZSWAP_OS_TEXT_LINE_H_
