#include "ledger/histogram.h"

#include <string.h>

#define UNIT_SHIFT 6u /* the first class ends at 64 µs */
#define ENTRY_BYTES 5u

/* 0 for what is below a unit; then four classes for each doubling. */
static unsigned
class_of(uint64_t us)
{
    uint64_t units = us >> UNIT_SHIFT;
    unsigned octave, class;

    if (units < 4)
        return (unsigned)units;
    octave = 63u - (unsigned)__builtin_clzll(units); /* 2 or more */
    class = (octave - 1) * 4 + (unsigned)(units >> (octave - 2) & 3);
    return MIN(class, HISTOGRAM_CLASSES - 1);
}

/* Where a class ends: what the next one begins with. */
static uint64_t
class_end_us(unsigned class)
{
    unsigned next = class + 1;

    if (next < 4)
        return (uint64_t)next << UNIT_SHIFT;
    return (uint64_t)(4 + next % 4) << (next / 4 - 1) << UNIT_SHIFT;
}

static void
count_add(uint32_t *count, uint32_t more)
{
    if (__builtin_add_overflow(*count, more, count))
        *count = UINT32_MAX;
}

void
histogram_add(struct histogram *h, uint64_t us)
{
    count_add(&h->count[class_of(us)], 1);
}

void
histogram_merge(struct histogram *to, const struct histogram *what)
{
    for (unsigned i = 0; i < HISTOGRAM_CLASSES; i++)
        count_add(&to->count[i], what->count[i]);
}

uint64_t
histogram_total(const struct histogram *h)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < HISTOGRAM_CLASSES; i++)
        total += h->count[i];
    return total;
}

uint64_t
histogram_us(const struct histogram *h, unsigned per_mille)
{
    uint64_t total = histogram_total(h), seen = 0;
    uint64_t wanted = (total * per_mille + 999) / 1000;

    ASSERT(per_mille > 0 && per_mille <= 1000);
    for (unsigned i = 0; total > 0 && i < HISTOGRAM_CLASSES; i++) {
        seen += h->count[i];
        if (seen >= wanted)
            return class_end_us(i);
    }
    return 0;
}

size_t
histogram_write(const struct histogram *h, uint8_t out[HISTOGRAM_BYTES_MAX])
{
    size_t len = 0;

    for (unsigned i = 0; i < HISTOGRAM_CLASSES; i++) {
        if (h->count[i] == 0)
            continue;
        out[len] = (uint8_t)i;
        memcpy(out + len + 1, &h->count[i], sizeof(h->count[i]));
        len += ENTRY_BYTES;
    }
    return len;
}

bool
histogram_read(struct str bytes, struct histogram *h)
{
    if (bytes.len % ENTRY_BYTES != 0)
        return false;
    for (size_t at = 0; at < bytes.len; at += ENTRY_BYTES)
        if ((uint8_t)bytes.ptr[at] >= HISTOGRAM_CLASSES)
            return false;
    for (size_t at = 0; at < bytes.len; at += ENTRY_BYTES) {
        uint32_t count;

        memcpy(&count, bytes.ptr + at + 1, sizeof(count));
        count_add(&h->count[(uint8_t)bytes.ptr[at]], count);
    }
    return true;
}
