// HeapWatch: counts the calls of malloc in a test program, to check that there are none.
//
// This header defines the hook. Include it in exactly one source of a test program. It works with
// the address and thread sanitizers (by their hook) and without them (by glibc's __libc_malloc).
#ifndef UZSWAP_BASE_TESTING_HEAP_WATCH_H_
#define UZSWAP_BASE_TESTING_HEAP_WATCH_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace uzswap {

inline std::atomic<uint64_t> g_heap_calls{0};
inline uint64_t HeapCalls() { return g_heap_calls.load(std::memory_order_relaxed); }

}  // namespace uzswap

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_SANITIZED_HEAP 1
#endif
#endif

#ifdef UZ_SANITIZED_HEAP
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           size_t),
                                                         void (*on_free)(const volatile void*));
namespace uzswap {
inline const int g_heap_hook = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { g_heap_calls.fetch_add(1, std::memory_order_relaxed); },
    [](const volatile void*) {});
}  // namespace uzswap
#else
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* malloc(size_t size) {
  uzswap::g_heap_calls.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  uzswap::g_heap_calls.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
}
#endif

#endif  // UZSWAP_BASE_TESTING_HEAP_WATCH_H_
