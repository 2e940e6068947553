// The working set of a test program: memory whose every byte can be computed again.
//
//   page p, word k:   k % 8 == 0   a hash of (seed, p, k): differs in every page
//                     otherwise    (p << 16) | (k & 63): compresses well
//
// A program fills a set, does what its row of the table is about, fills or changes something, and
// checks every byte. Last it calls Verdict, which prints one line and returns the exit status.
//
// TRANSPARENCY_EVICTS in the environment tells the program that it runs under a limit that its set
// exceeds. AwaitEviction then waits until pages of the set are no longer in memory. Without the
// variable it returns at once. So "late" (after pages were swapped out) needs no sleep.
#ifndef TESTS_TRANSPARENCY_PROGRAMS_WORKING_SET_H_
#define TESTS_TRANSPARENCY_PROGRAMS_WORKING_SET_H_

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kWords = kPage / 8, kMiB = 1 << 20 };
enum { kStatusWrong = 1, kStatusFailed = 3, kStatusUnsupported = 77 };

// Ends the program: a call failed that has nothing to do with the content of the set.
__attribute__((noreturn, format(printf, 1, 2))) static inline void Fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stdout, format, arguments);
  va_end(arguments);
  printf("\n");
  fflush(stdout);
  _exit(kStatusFailed);
}

static inline uint64_t WordOf(uint64_t seed, size_t page, size_t word) {
  if (word % 8 != 0) return ((uint64_t)page << 16) | (word & 63);
  uint64_t hash = seed * 0x9e3779b97f4a7c15u + page * 0xbf58476d1ce4e5b9u + word;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
  return hash ^ (hash >> 31);
}

static inline void FillPage(void* at, uint64_t seed, size_t page) {
  uint64_t* words = at;
  for (size_t k = 0; k < kWords; ++k) words[k] = WordOf(seed, page, k);
}

static inline int IsWrong(const void* at, uint64_t seed, size_t page) {
  const uint64_t* words = at;
  uint64_t difference = 0;
  for (size_t k = 0; k < kWords; ++k) difference |= words[k] ^ WordOf(seed, page, k);
  return difference != 0;
}

static inline void Fill(void* at, size_t bytes, uint64_t seed) {
  for (size_t p = 0; p < bytes / kPage; ++p) FillPage((char*)at + p * kPage, seed, p);
}

// Returns the number of wrong pages.
static inline size_t Check(const void* at, size_t bytes, uint64_t seed) {
  size_t wrong = 0;
  for (size_t p = 0; p < bytes / kPage; ++p) {
    wrong += (size_t)IsWrong((const char*)at + p * kPage, seed, p);
  }
  return wrong;
}

static inline void* Map(size_t bytes, int protection, int flags) {
  void* at = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (at == MAP_FAILED) Fail("mmap of %zu bytes failed", bytes);
  return at;
}

static inline void* MapSet(size_t bytes, uint64_t seed) {
  void* at = Map(bytes, PROT_READ | PROT_WRITE, 0);
  Fill(at, bytes, seed);
  return at;
}

// mincore() calls a page that was swapped out absent, and so one that was never touched.
static inline size_t AbsentPages(const void* at, size_t bytes) {
  unsigned char states[1024];
  size_t absent = 0;
  for (size_t done = 0; done < bytes; done += sizeof states * kPage) {
    const size_t left = bytes - done;
    const size_t part = left < sizeof states * kPage ? left : sizeof states * kPage;
    if (mincore((char*)at + done, part, states) != 0) Fail("mincore failed");
    for (size_t p = 0; p < part / kPage; ++p) absent += !(states[p] & 1);
  }
  return absent;
}

static inline double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline int UnderLimit(void) { return getenv("TRANSPARENCY_EVICTS") != NULL; }

// For the broken case; longer on a slow machine.
static inline double DeadlineSeconds(void) {
  const char* seconds = getenv("TRANSPARENCY_DEADLINE_S");
  return seconds != NULL ? atof(seconds) : 50;
}

// Polls; the pause only leaves the processor to others.
static inline void PauseOrFail(double start, const char* what) {
  if (Now() - start > DeadlineSeconds()) Fail("waited too long: %s", what);
  const struct timespec pause = {0, 2000000};
  nanosleep(&pause, NULL);
}

// Waits until a quarter of the set is not in memory: the engine has reacted to the limit.
static inline void AwaitEviction(const void* at, size_t bytes) {
  if (!UnderLimit()) return;
  const double start = Now();
  while (AbsentPages(at, bytes) < bytes / kPage / 4) {
    PauseOrFail(start, "no page of the set was swapped out");
  }
}

static inline size_t Sweep(const void* at, size_t bytes, uint64_t seed, int times) {
  size_t wrong = 0;
  for (int i = 0; i < times; ++i) wrong += Check(at, bytes, seed);
  return wrong;
}

static inline int Verdict(size_t wrong) {
  if (wrong == 0) {
    printf("every byte is right\n");
  } else {
    printf("%zu wrong\n", wrong);
  }
  fflush(stdout);
  return wrong == 0 ? 0 : kStatusWrong;
}

static inline const char* Word(int count, char** words, int index) {
  if (index >= count) Fail("too few arguments");
  return words[index];
}

static inline size_t Number(int count, char** words, int index) {
  return (size_t)strtoull(Word(count, words, index), NULL, 10);
}

static inline int Is(const char* one, const char* other) { return strcmp(one, other) == 0; }

#endif  // TESTS_TRANSPARENCY_PROGRAMS_WORKING_SET_H_
