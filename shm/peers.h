/*
 * How many connections each address has, over all workers, without a table of addresses.
 *
 * A worker counts in its own table, so a killed worker's counts go with it. An address has a place in
 * each of two rows, by two parts of a keyed hash; its count is the lesser of the two, each summed over
 * the living workers. Others may share a place, so a count may be too high and never too low; for an
 * innocent address to be refused, addresses at their bound must meet it in both rows, which none can
 * arrange without the key.
 */
#ifndef SHM_PEERS_H
#define SHM_PEERS_H

#include "base/base.h"
#include "shm/region.h"

#define PEERS_ROWS 2
#define PEERS_PLACES 8192 /* a row; a power of two */

struct peer_place {
    uint16_t at[PEERS_ROWS];
};

/* Where the connections of such an address are counted. */
struct peer_place peers_place(const struct region *region, const void *address, size_t len);

/*
 * Counts one more connection, unless that makes more than max (0: any number): then false, and nothing
 * is counted. Two workers at a time may both be refused the last one; never do both get it.
 */
bool peers_enter(struct region *region, uint32_t table_idx, struct peer_place place,
                 uint32_t max) MUST_CHECK;
void peers_leave(struct region *region, uint32_t table_idx, struct peer_place place);
uint32_t peers_count(const struct region *region, struct peer_place place);

/* A worker that begins on a table: what the one before counted is gone. */
void peers_clear(struct region *region, uint32_t table_idx);

#endif
