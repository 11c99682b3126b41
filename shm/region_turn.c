/*
 * A worker's turns of its loop: what it found by index it may use until the turn ends, so what was
 * replaced is used again only after every worker's turn has ended since (shm/key_write.c). And
 * the ledger process's steps, which only say that it goes on.
 */
#include "shm/region.h"

/*
 * seq_cst: the ledger process publishes a new index or takes a key away, then looks at turns.
 * Either it sees this turn, or this turn's loads see what it published.
 */
void
region_turn_begin(struct region_table *table, uint64_t now_mono_us)
{
    uint64_t turn = atomic_load_explicit(&table->turn, memory_order_relaxed); /* our own */

    atomic_store_explicit(&table->heartbeat_mono_us, now_mono_us, memory_order_relaxed);
    /* Odd already: the last owner of this table died within a turn. It is over; this is another. */
    atomic_store_explicit(&table->turn, turn + 1 + (turn & 1), memory_order_seq_cst);
}

void
region_turn_end(struct region_table *table)
{
    uint64_t turn = atomic_load_explicit(&table->turn, memory_order_relaxed); /* our own */

    ASSERT((turn & 1) == 1);
    /* Release: what was read in this turn was read before the ledger process sees its end. */
    atomic_store_explicit(&table->turn, turn + 1, memory_order_release);
}

/* Relaxed: nothing is published by it. */
void
region_ledger_beat(struct region_header *header, enum ledger_step step, uint64_t now_mono_us)
{
    atomic_store_explicit(&header->ledger_beat, now_mono_us << 1 | (step == LEDGER_WORKS),
                          memory_order_relaxed);
}

enum ledger_step
region_ledger_step(const struct region_header *header)
{
    uint64_t beat = atomic_load_explicit(&header->ledger_beat, memory_order_relaxed);

    return beat & 1 ? LEDGER_WORKS : LEDGER_WAITS;
}

bool
region_ledger_still(const struct region_header *header, uint64_t now_mono_us)
{
    uint64_t beat = atomic_load_explicit(&header->ledger_beat, memory_order_relaxed);
    uint64_t allowed_us = beat & 1 ? LEDGER_STILL_WORKS_US : LEDGER_STILL_WAITS_US;

    return now_mono_us > (beat >> 1) + allowed_us;
}
