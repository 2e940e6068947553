// Memory and string functions. The compiler itself calls the first four.
//
// Blocks up to 64 bytes are loaded completely before the first store, with loads that overlap.
// Larger blocks are copied in steps of 64 bytes, in the direction that is safe if source and
// destination overlap. So memcpy and memmove are one function. From kStringBytes on, the string
// instructions of the processor are as fast as the C library's vector code for a page.
#include <emmintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

using Byte = unsigned char;

constexpr size_t kStringBytes = 512;

struct Block64 {
  __m128i part[4];
};

__m128i Load16(const Byte* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
void Store16(Byte* to, __m128i value) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value); }

template <typename Word>
Word LoadWord(const Byte* from) {
  Word word;
  __builtin_memcpy(&word, from, sizeof(word));
  return word;
}
template <typename Word>
void StoreWord(Byte* to, Word word) {
  __builtin_memcpy(to, &word, sizeof(word));
}

Block64 Load64(const Byte* from) {
  return {{Load16(from), Load16(from + 16), Load16(from + 32), Load16(from + 48)}};
}
void Store64(Byte* to, const Block64& block) {
  for (int i = 0; i < 4; ++i) Store16(to + 16 * i, block.part[i]);
}

// Copies `length` bytes, at least sizeof(Word) and at most twice that.
template <typename Word>
void CopyTwo(Byte* to, const Byte* from, size_t length) {
  const Word first = LoadWord<Word>(from);
  const Word last = LoadWord<Word>(from + length - sizeof(Word));
  StoreWord(to, first);
  StoreWord(to + length - sizeof(Word), last);
}

void CopySmall(Byte* to, const Byte* from, size_t length) {
  if (length > 32) {
    const __m128i a = Load16(from);
    const __m128i b = Load16(from + 16);
    const __m128i c = Load16(from + length - 32);
    const __m128i d = Load16(from + length - 16);
    Store16(to, a);
    Store16(to + 16, b);
    Store16(to + length - 32, c);
    Store16(to + length - 16, d);
  } else if (length > 16) {
    CopyTwo<__m128i>(to, from, length);
  } else if (length >= 8) {
    CopyTwo<uint64_t>(to, from, length);
  } else if (length >= 4) {
    CopyTwo<uint32_t>(to, from, length);
  } else if (length >= 2) {
    CopyTwo<uint16_t>(to, from, length);
  } else if (length == 1) {
    *to = *from;
  }
}

void CopyString(Byte* to, const Byte* from, size_t length) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

void CopyForward(Byte* to, const Byte* from, size_t length) {
  const Block64 tail = Load64(from + length - 64);
  for (size_t done = 0; done + 64 < length; done += 64) Store64(to + done, Load64(from + done));
  Store64(to + length - 64, tail);
}

void CopyBackward(Byte* to, const Byte* from, size_t length) {
  const Block64 head = Load64(from);
  for (size_t left = length; left > 64; left -= 64) {
    Store64(to + left - 64, Load64(from + left - 64));
  }
  Store64(to, head);
}

// The first position where the blocks differ, or `length`.
size_t FirstDifference(const Byte* left, const Byte* right, size_t length) {
  size_t at = 0;
  for (; at + 64 <= length; at += 64) {
    const Block64 a = Load64(left + at);
    const Block64 b = Load64(right + at);
    const __m128i first =
        _mm_and_si128(_mm_cmpeq_epi8(a.part[0], b.part[0]), _mm_cmpeq_epi8(a.part[1], b.part[1]));
    const __m128i second =
        _mm_and_si128(_mm_cmpeq_epi8(a.part[2], b.part[2]), _mm_cmpeq_epi8(a.part[3], b.part[3]));
    if (_mm_movemask_epi8(_mm_and_si128(first, second)) != 0xFFFF) break;
  }
  for (; at + 16 <= length; at += 16) {
    const int equal = _mm_movemask_epi8(_mm_cmpeq_epi8(Load16(left + at), Load16(right + at)));
    if (equal != 0xFFFF) return at + static_cast<size_t>(__builtin_ctz(~equal));
  }
  while (at < length && left[at] == right[at]) ++at;
  return at;
}

}  // namespace

extern "C" {

void* memmove(void* to, const void* from, size_t length) {
  auto* target = static_cast<Byte*>(to);
  const auto* source = static_cast<const Byte*>(from);
  const auto distance = static_cast<size_t>(target - source);
  if (length <= 64) {
    CopySmall(target, source, length);
  } else if (length >= kStringBytes && distance >= length && 0 - distance >= length) {
    CopyString(target, source, length);
  } else if (distance >= length) {
    CopyForward(target, source, length);
  } else {
    CopyBackward(target, source, length);
  }
  return to;
}

void* memcpy(void* to, const void* from, size_t length) { return memmove(to, from, length); }

void* memset(void* to, int value, size_t length) {
  auto* target = static_cast<Byte*>(to);
  if (length < 16) {
    for (size_t i = 0; i < length; ++i) target[i] = static_cast<Byte>(value);
    return to;
  }
  if (length >= kStringBytes) {
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(length) : "a"(value) : "memory");
    return to;
  }
  const __m128i filled = _mm_set1_epi8(static_cast<char>(value));
  const Block64 block = {{filled, filled, filled, filled}};
  size_t done = 0;
  for (; done + 64 <= length; done += 64) Store64(target + done, block);
  for (; done + 16 <= length; done += 16) Store16(target + done, filled);
  Store16(target + length - 16, filled);
  return to;
}

int memcmp(const void* left, const void* right, size_t length) {
  const auto* a = static_cast<const Byte*>(left);
  const auto* b = static_cast<const Byte*>(right);
  const size_t at = FirstDifference(a, b, length);
  return at == length ? 0 : a[at] - b[at];
}

int bcmp(const void* left, const void* right, size_t length) { return memcmp(left, right, length); }

void explicit_bzero(void* to, size_t length) {
  memset(to, 0, length);
  __asm__ volatile("" : : "r"(to) : "memory");
}
void __explicit_bzero_chk(void* to, size_t length, size_t) { explicit_bzero(to, length); }

void* memchr(const void* from, int value, size_t length) {
  const auto* bytes = static_cast<const Byte*>(from);
  for (size_t i = 0; i < length; ++i) {
    if (bytes[i] == static_cast<Byte>(value)) return const_cast<Byte*>(bytes + i);
  }
  return nullptr;
}

void* memrchr(const void* from, int value, size_t length) {
  const auto* bytes = static_cast<const Byte*>(from);
  for (size_t i = length; i > 0; --i) {
    if (bytes[i - 1] == static_cast<Byte>(value)) return const_cast<Byte*>(bytes + i - 1);
  }
  return nullptr;
}

size_t strlen(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

size_t strnlen(const char* text, size_t most) {
  size_t length = 0;
  while (length < most && text[length] != '\0') ++length;
  return length;
}

int strncmp(const char* left, const char* right, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    const auto a = static_cast<Byte>(left[i]);
    const auto b = static_cast<Byte>(right[i]);
    if (a != b) return a - b;
    if (a == 0) return 0;
  }
  return 0;
}

int strcmp(const char* left, const char* right) { return strncmp(left, right, SIZE_MAX); }

char* strncpy(char* to, const char* from, size_t length) {
  size_t i = 0;
  for (; i < length && from[i] != '\0'; ++i) to[i] = from[i];
  for (; i < length; ++i) to[i] = '\0';
  return to;
}

char* strchr(const char* text, int value) {
  for (;; ++text) {
    if (*text == static_cast<char>(value)) return const_cast<char*>(text);
    if (*text == '\0') return nullptr;
  }
}

char* strrchr(const char* text, int value) {
  return static_cast<char*>(memrchr(text, value, strlen(text) + 1));
}

}  // extern "C"
