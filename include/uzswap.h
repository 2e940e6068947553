/* The C interface of libuzswap: PageCache (uzswap/page_cache.h) and Region (uzswap/region.h) for C,
 * and for languages that can call C. A touch of a region needs 32 KiB of stack, and runs a handler
 * of SIGBUS on it: not for goroutines of Go, which have smaller ones.
 *
 *   uzswap_cache_options options = UZSWAP_CACHE_OPTIONS(64 << 20);
 *   uzswap_cache *cache = NULL;
 *   if (uzswap_cache_open(&options, &cache) != UZSWAP_OK) { ... uzswap_error_text() ... }
 *   uint32_t area = uzswap_cache_create_area(cache, UZSWAP_PERSISTENT);
 *   uzswap_cache_store(cache, area, 7, page);
 *   uzswap_cache_load(cache, area, 7, page, UZSWAP_KEEP);
 *   uzswap_cache_close(cache);
 *
 *   uzswap_region_options larger = UZSWAP_REGION_OPTIONS(4ull << 30, 1ull << 30);
 *   uzswap_region *region = NULL;
 *   if (uzswap_region_open(&larger, &region) != UZSWAP_OK) { ... uzswap_error_text() ... }
 *   uint64_t *numbers = uzswap_region_data(region);
 *   numbers[0] = 1;
 *   uzswap_region_close(region);
 *
 * Any thread may call any function, except those that close, which must be the last for what they
 * close. A forked child must not use its parent's cache or region. A structure begins with its
 * size, so that the library knows which version of it the caller has. An index that is too large
 * (2^36 pages of 4 KiB) is a bug of the caller: it ends the process with a line on standard error.
 */
#ifndef UZSWAP_H_
#define UZSWAP_H_

#include <stddef.h>
#include <stdint.h>

/* NOLINTBEGIN(readability-identifier-naming, modernize-*): these are names of C. */
#define UZSWAP_C_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

typedef struct uzswap_cache uzswap_cache;

/* What a function returns. */
typedef enum uzswap_status {
  UZSWAP_OK = 0,
  UZSWAP_MISS = 1,       /* not stored, invalidated, or dropped */
  UZSWAP_FULL = 2,       /* no room in memory, and none can be made on the medium */
  UZSWAP_NO_AREA = 3,    /* the area does not exist, or the tables are full */
  UZSWAP_IO_ERROR = 4,   /* the medium failed; the unit is still there */
  UZSWAP_CORRUPT = 5,    /* what was read is damaged; it is not delivered */
  UZSWAP_BAD_OPTION = 6, /* see uzswap_error_text */
  UZSWAP_FAILED = 7      /* a system call failed, see uzswap_error_number and uzswap_error_text */
} uzswap_status;

typedef enum uzswap_lifetime { UZSWAP_PERSISTENT = 0, UZSWAP_EPHEMERAL = 1 } uzswap_lifetime;
typedef enum uzswap_keep { UZSWAP_KEEP = 0, UZSWAP_TAKE = 1 } uzswap_keep;
typedef enum uzswap_compression {
  UZSWAP_COMPRESS_AUTO = 0,
  UZSWAP_COMPRESS_LZ4 = 1,
  UZSWAP_COMPRESS_ZSTD = 2
} uzswap_compression;

typedef struct uzswap_cache_options {
  size_t struct_bytes;       /* sizeof(uzswap_cache_options) */
  uint64_t memory_bytes;     /* compressed units take at most so much; at least 1 MiB */
  size_t unit_bytes;         /* a power of two, 512 to 65536 */
  uint32_t compression;      /* uzswap_compression */
  uint32_t store_timeout_ms; /* a store is refused if no room was made for so long */
  const char* backing;       /* NULL, or a file, directory or block device; an absolute path */
  uint64_t backing_bytes;    /* at most so much on the medium; 0: no limit */
  uint32_t encrypt;          /* 1: what is on the medium is encrypted */
  uint32_t unused;           /* 0 */
} uzswap_cache_options;

/* The usual values. The rest can be changed before the call of uzswap_cache_open. */
#define UZSWAP_CACHE_OPTIONS(memory) \
  { sizeof(uzswap_cache_options), (memory), 4096, UZSWAP_COMPRESS_AUTO, 1000, NULL, 0, 0, 0 }

typedef struct uzswap_cache_statistics {
  size_t struct_bytes;    /* sizeof(uzswap_cache_statistics), set by the caller */
  uint64_t units;         /* stored now */
  uint64_t units_on_disk; /* of these, on the medium */
  uint64_t memory_bytes;  /* of compressed units, unused parts of pages included */
  uint64_t object_bytes;  /* the same without the unused parts */
  uint64_t table_bytes;   /* of everything else */
  uint64_t disk_bytes;    /* of compressed units on the medium */
  uint64_t stores;        /* since the cache was opened, as the rest */
  uint64_t loads;
  uint64_t loads_from_disk;
  uint64_t misses;
  uint64_t dropped; /* units of ephemeral areas */
  uint64_t refused; /* stores */
} uzswap_cache_statistics;

/* *cache is set if the result is UZSWAP_OK. */
UZSWAP_C_API uzswap_status uzswap_cache_open(const uzswap_cache_options* options,
                                             uzswap_cache** cache);
/* NULL does nothing. */
UZSWAP_C_API void uzswap_cache_close(uzswap_cache* cache);

/* 0: there is no free area. */
UZSWAP_C_API uint32_t uzswap_cache_create_area(uzswap_cache* cache, uzswap_lifetime lifetime);
UZSWAP_C_API void uzswap_cache_destroy_area(uzswap_cache* cache, uint32_t area);

/* `unit` has unit_bytes bytes. A store that fails removes the older unit. */
UZSWAP_C_API uzswap_status uzswap_cache_store(uzswap_cache* cache, uint32_t area, uint64_t index,
                                              const void* unit);
UZSWAP_C_API uzswap_status uzswap_cache_load(uzswap_cache* cache, uint32_t area, uint64_t index,
                                             void* unit, uzswap_keep keep);
/* UZSWAP_OK or UZSWAP_MISS. */
UZSWAP_C_API uzswap_status uzswap_cache_invalidate(uzswap_cache* cache, uint32_t area,
                                                   uint64_t index);
UZSWAP_C_API uint64_t uzswap_cache_invalidate_area(uzswap_cache* cache, uint32_t area);

/* Units of ascending indexes from `first` on. Return how many were stored or loaded; they stop at
 * the first that was not. */
UZSWAP_C_API size_t uzswap_cache_store_many(uzswap_cache* cache, uint32_t area, uint64_t first,
                                            const void* units, size_t count);
UZSWAP_C_API size_t uzswap_cache_load_many(uzswap_cache* cache, uint32_t area, uint64_t first,
                                           void* units, size_t count);

/* Fills as much of *statistics as its struct_bytes says. */
UZSWAP_C_API void uzswap_cache_get_statistics(uzswap_cache* cache,
                                              uzswap_cache_statistics* statistics);

/* --- Memory that may be larger than the RAM it takes. uzswap/region.h says what system calls,
 * handlers of SIGBUS, stacks and forks have to observe. A range that is not in the region is a bug
 * of the caller: it ends the process with a line on standard error. --- */

typedef struct uzswap_region uzswap_region;
typedef struct uzswap_pin uzswap_pin;

typedef struct uzswap_region_options {
  size_t struct_bytes;    /* sizeof(uzswap_region_options) */
  uint64_t size;          /* rounded up to whole pages of 4 KiB */
  uint64_t memory_bytes;  /* pages in memory and compressed pages take at most so much */
  const char* backing;    /* as in uzswap_cache_options */
  uint64_t backing_bytes; /* at most so much on the medium; 0: no limit */
  uint32_t compression;   /* uzswap_compression */
  uint32_t encrypt;       /* 1: what is on the medium is encrypted */
} uzswap_region_options;

#define UZSWAP_REGION_OPTIONS(size, memory) \
  { sizeof(uzswap_region_options), (size), (memory), NULL, 0, UZSWAP_COMPRESS_AUTO, 0 }

typedef struct uzswap_region_statistics {
  size_t struct_bytes;       /* sizeof(uzswap_region_statistics), set by the caller */
  uint64_t resident_bytes;   /* pages in memory, uncompressed */
  uint64_t compressed_bytes; /* memory that compressed pages take */
  uint64_t stored_pages;     /* compressed, in memory or on the medium */
  uint64_t disk_bytes;       /* of them, bytes on the medium */
  uint64_t pinned_pages;
  uint64_t faults;           /* touches of pages that were not in memory, as the rest since open */
  uint64_t first_touches;    /* of these, of pages never touched before */
  uint64_t faults_from_disk; /* of these, with a read of the medium */
  uint64_t over_budget;      /* of these, for which nothing could be reclaimed */
} uzswap_region_statistics;

typedef enum uzswap_advice { UZSWAP_WILL_NEED = 0, UZSWAP_COLD = 1 } uzswap_advice;

/* *region is set if the result is UZSWAP_OK. */
UZSWAP_C_API uzswap_status uzswap_region_open(const uzswap_region_options* options,
                                              uzswap_region** region);
/* NULL does nothing. Requires: no pin of the region is left. */
UZSWAP_C_API void uzswap_region_close(uzswap_region* region);
UZSWAP_C_API void* uzswap_region_data(uzswap_region* region);
UZSWAP_C_API uint64_t uzswap_region_size(uzswap_region* region);

/* The pages of the range stay in memory, and system calls may use them, until the pin is released.
 * UZSWAP_FULL if pinned pages would take more than three quarters of memory_bytes, and
 * UZSWAP_IO_ERROR if a page cannot be read back. *pin is set if the result is UZSWAP_OK. */
UZSWAP_C_API uzswap_status uzswap_region_pin(uzswap_region* region, const void* start, size_t bytes,
                                             uzswap_pin** pin);
/* NULL does nothing. */
UZSWAP_C_API void uzswap_pin_release(uzswap_pin* pin);

/* Any other advice does nothing. */
UZSWAP_C_API void uzswap_region_advise(uzswap_region* region, const void* start, size_t bytes,
                                       uzswap_advice advice);
/* The whole pages of the range read as zeroes afterwards, and take no memory. */
UZSWAP_C_API void uzswap_region_discard(uzswap_region* region, void* start, size_t bytes);
/* Fills as much of *statistics as its struct_bytes says. */
UZSWAP_C_API void uzswap_region_get_statistics(uzswap_region* region,
                                               uzswap_region_statistics* statistics);
/* For a handler of SIGBUS that was installed after the first uzswap_region_open: not 0 if the
 * signal was a touch of a region, and was answered. Its second and third argument. */
UZSWAP_C_API int uzswap_region_handle_signal(const void* information, const void* context);

/* Of the last call of this thread that returned UZSWAP_BAD_OPTION or UZSWAP_FAILED: what failed,
 * and the errno (0: none). */
UZSWAP_C_API const char* uzswap_error_text(void);
UZSWAP_C_API int uzswap_error_number(void);
/* "0.1.0" */
UZSWAP_C_API const char* uzswap_version(void);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(readability-identifier-naming, modernize-*) */

#endif /* UZSWAP_H_ */
