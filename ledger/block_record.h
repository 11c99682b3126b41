/*
 * One record of a block as bytes: numbers of variable length, seven bits a byte, those with a sign by
 * zigzag; few classes are counted in one call, so which ones comes first. Private to ledger/block.c, and
 * versioned with blocks.
 */
#ifndef LEDGER_BLOCK_RECORD_H
#define LEDGER_BLOCK_RECORD_H

#include "ledger/block.h"

struct block_record_bytes {
    uint8_t bytes[1280]; /* room for any record */
    size_t len;
};

/* start_us_min is the block's: no record's start is earlier. */
void block_record_write(const struct block_record *record, int64_t start_us_min,
                        struct block_record_bytes *out);
/* Returns how many bytes it took; 0 when they make no sense, with *out filled in part. The tenant is
 * the block's to say. */
size_t block_record_read(const uint8_t *at, const uint8_t *end, int64_t start_us_min,
                         struct block_record *out) MUST_CHECK;
/* Of *out only what records are looked for by, several times as fast: start_wall_us, key, member and project, model,
 * channel, outcome, http_status. False when the bytes make no sense so far; what comes after is not looked at. */
bool block_record_look(const uint8_t *at, const uint8_t *end, int64_t start_us_min,
                       struct block_record *out) MUST_CHECK;

#endif
