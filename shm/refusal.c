#include "shm/refusal.h"

#include <string.h>

#include "shm/layout.h"

struct refusal_ring *
refusal_ring_at(const struct region *region, uint32_t table_idx)
{
    struct table_parts parts;

    return region_table_parts(region, table_idx, &parts) ? parts.refusals : NULL;
}

uint64_t
refusal_put(struct refusal_ring *ring, const struct refusal *refusal)
{
    uint64_t seq = atomic_load_explicit(&ring->written_seq, memory_order_relaxed); /* our own */
    struct refusal_entry *entry = &ring->entry[seq % REFUSALS_MAX];
    uint64_t words[REFUSAL_WORDS];

    memcpy(words, refusal, sizeof(words));
    atomic_store_explicit(&entry->stamp, 0, memory_order_relaxed);
    /* Each word is a release: who reads one of them, by an acquire, sees the stamp gone as well. */
    for (size_t i = 0; i < REFUSAL_WORDS; i++)
        atomic_store_explicit(&entry->word[i], words[i], memory_order_release);
    atomic_store_explicit(&entry->stamp, seq + 1, memory_order_release);
    /* Pairs with the acquire in refusal_take(): who sees seq + 1 sees the entry whole. */
    atomic_store_explicit(&ring->written_seq, seq + 1, memory_order_release);
    return seq;
}

/* False: it was written over meanwhile. */
static bool
take_one(const struct refusal_entry *entry, uint64_t seq, struct refusal *out)
{
    uint64_t words[REFUSAL_WORDS];

    if (atomic_load_explicit(&entry->stamp, memory_order_acquire) != seq + 1)
        return false;
    for (size_t i = 0; i < REFUSAL_WORDS; i++)
        words[i] = atomic_load_explicit(&entry->word[i], memory_order_acquire);
    if (atomic_load_explicit(&entry->stamp, memory_order_relaxed) != seq + 1)
        return false;
    memcpy(out, words, sizeof(words));
    return true;
}

unsigned
refusal_take(struct refusal_ring *ring, struct refusal *out, unsigned max, uint64_t *missed)
{
    uint64_t written = atomic_load_explicit(&ring->written_seq, memory_order_acquire);
    uint64_t seq = atomic_load_explicit(&ring->read_seq, memory_order_relaxed);
    unsigned count = 0;

    if (seq > written) /* nobody honest wrote that */
        seq = written;
    if (written - seq > REFUSALS_MAX) {
        *missed += written - seq - REFUSALS_MAX;
        seq = written - REFUSALS_MAX;
    }
    for (; seq < written && count < max; seq++) {
        if (take_one(&ring->entry[seq % REFUSALS_MAX], seq, &out[count]))
            count++;
        else
            ++*missed;
    }
    atomic_store_explicit(&ring->read_seq, seq, memory_order_relaxed);
    return count;
}
