// leaks MIB LOST: a list of heap blocks that only point to each other. A leak checker has to follow
// the list at exit, so all blocks have to be readable then. LOST blocks are left behind on purpose.
#include "working_set.h"

struct Block {
  struct Block* next;
  uint64_t number;
  char rest[3000];
};

static struct Block* g_first;

static void* volatile g_lost;

__attribute__((noinline)) static void Lose(size_t blocks) {
  for (size_t i = 0; i < blocks; ++i) g_lost = malloc(100);
  g_lost = NULL;
}

int main(int count, char** words) {
  const size_t blocks = Number(count, words, 1) * kMiB / sizeof(struct Block);
  for (size_t i = 0; i < blocks; ++i) {
    struct Block* block = malloc(sizeof *block);
    block->next = g_first;
    block->number = i;
    memset(block->rest, (int)(i & 127), sizeof block->rest);
    g_first = block;
  }
  size_t wrong = 0;
  for (int round = 0; round < 3; ++round) {
    size_t expected = blocks;
    for (const struct Block* block = g_first; block != NULL; block = block->next) {
      --expected;
      wrong += block->number != expected;
      for (size_t k = 0; k < sizeof block->rest; ++k) {
        wrong += block->rest[k] != (char)(expected & 127);
      }
    }
    wrong += expected != 0;
  }
  Lose(Number(count, words, 2));
  return Verdict(wrong);
}
