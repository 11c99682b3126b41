/*
 * Memory that is ours but not anybody's to use now: the address sanitizer reports who touches
 * it. Nothing in other builds.
 */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define POISON_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_ON 1
#endif
#endif

#ifdef POISON_ON
#include <sanitizer/asan_interface.h>
/* gcc 12 warns that what is poisoned is read before it was written: it must not see what this points to. */
static inline void *
poison_at(void *ptr)
{
    __asm__("" : "+r"(ptr));
    return ptr;
}
#define POISON(ptr, len) __asan_poison_memory_region(poison_at(ptr), (len))
#define UNPOISON(ptr, len) __asan_unpoison_memory_region((ptr), (len))
#define POISON_GAP 1 /* bytes that keep two neighbours apart, so that an overrun hits them */
#else
#define POISON(ptr, len) ((void)(ptr), (void)(len))
#define UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#define POISON_GAP 0
#endif

#endif
