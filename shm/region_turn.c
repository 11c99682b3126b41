/*
 * A worker's turns of its loop: what it found by index it may use until the turn ends, so what was
 * replaced is used again only after every worker's turn has ended since (shm/key_write.c).
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
