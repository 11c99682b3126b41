/* The C library's heap, as processes want it that answer one call after the other. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/*
 * Freed memory stays with the process, up to 2 MiB of it: by itself the library gives back what the
 * translation of a large request took when it is over, and takes it anew for the next, which costs a
 * page fault for every 4 KiB and some system calls a time. Blocks of 1 MiB and more are mappings of
 * their own and go back at once.
 */
void heap_keep(void);

#endif
