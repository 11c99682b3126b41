#include "base/heap.h"

#include <malloc.h>

#define KEEP_BYTES_MAX (2 << 20)
#define MAPPED_BYTES_MIN (1 << 20)

void
heap_keep(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES_MAX);
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
}
