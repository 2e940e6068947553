// Clang's thread-safety attributes as macros. They are empty with other compilers.
#ifndef UZSWAP_BASE_THREAD_ANNOTATIONS_H_
#define UZSWAP_BASE_THREAD_ANNOTATIONS_H_

#if defined(__clang__)
#define UZ_ATTRIBUTE(x) __attribute__((x))
#else
#define UZ_ATTRIBUTE(x)
#endif

#define UZ_CAPABILITY(name) UZ_ATTRIBUTE(capability(name))
#define UZ_SCOPED_CAPABILITY UZ_ATTRIBUTE(scoped_lockable)
#define UZ_GUARDED_BY(lock) UZ_ATTRIBUTE(guarded_by(lock))
#define UZ_PT_GUARDED_BY(lock) UZ_ATTRIBUTE(pt_guarded_by(lock))
#define UZ_REQUIRES(...) UZ_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define UZ_EXCLUDES(...) UZ_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define UZ_ACQUIRE(...) UZ_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define UZ_RELEASE(...) UZ_ATTRIBUTE(release_capability(__VA_ARGS__))
#define UZ_TRY_ACQUIRE(...) UZ_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define UZ_ASSERT_HELD(...) UZ_ATTRIBUTE(assert_capability(__VA_ARGS__))
#define UZ_RETURN_CAPABILITY(lock) UZ_ATTRIBUTE(lock_returned(lock))
// Each use has a comment that states the rule that replaces the analysis.
#define UZ_NO_THREAD_SAFETY_ANALYSIS UZ_ATTRIBUTE(no_thread_safety_analysis)

#endif  // UZSWAP_BASE_THREAD_ANNOTATIONS_H_
