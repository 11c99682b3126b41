/*
 * Threads among each other, where there are more of them than cores.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

/**
 * Makes the calling thread less important than those that carry calls, and the threads that it makes
 * from now on with it: NICE_ADD is added to its nice value, and its slices get long.
 *
 * The nice value alone decides on shares only: a kernel since 6.6 lets a thread of any nice value
 * finish its slice, which ends with a tick and so takes up to 4 ms, before one that is woken gets the
 * core, unless the woken one's slice is the shorter (since 6.12). Older kernels know no slices, and
 * go by the nice value. What is not allowed is left as it is: no worse than without.
 */
void thread_give_way(int nice_add);

#endif
