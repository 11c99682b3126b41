/*
 * Call records packed into blocks: one block a batch, one put a block.
 *
 *     head     magic, version, sequence number, region, commit time, span of starts, counts
 *     chain    the hash of the block before
 *     tenants  which records are whose: tenant, offset, count; ascending
 *     calls    one entry a record, by the last 4 bytes of the call ID, ascending: fingerprint, offset
 *     records  by tenant, then by start; each its length, then all numbers as variable-length integers
 *     hash     of everything above
 *
 * Since the hash covers the chain field, any change to any block breaks every later one. Reading
 * trusts nothing: any bytes may be given, and what does not parse is -EILSEQ. Pure functions.
 */
#ifndef LEDGER_BLOCK_H
#define LEDGER_BLOCK_H

#include "base/base.h"
#include "base/buf.h"
#include "base/hash.h"
#include "shm/budget.h"
#include "shm/record.h"

#define BLOCK_RECORDS_MAX 16384
#define BLOCK_BYTES_MAX (BLOCK_RECORDS_MAX * 1024u)

/* Who paid for a part of a charge, when it was not the wallet. */
#define BLOCK_PAID_MAX 8u
struct block_paid {
    uint32_t kind; /* enum book_kind: BOOK_GRANT or BOOK_PLAN */
    uint64_t number;
    int64_t ucr; /* > 0 */
};

/* One call (or one extension of a call's hold), as it is kept. */
struct block_record {
    /* The slot that it was, and the money: of the hot half, checked. */
    uint32_t table_idx, slot;
    uint64_t generation;
    int64_t amount_ucr, charge_ucr; /* 0 <= charge <= amount */
    uint64_t budget_id[BUDGET_KIND_COUNT]; /* 0: none, or never entered */
    uint16_t budget_window[BUDGET_KIND_COUNT];
    /* Name ids of the store; those in rec are the region's and are not kept. */
    uint32_t model, channel, upstream, family;
    uint32_t asked, rule;
    uint32_t attempt_upstream[RECORD_ATTEMPTS_MAX], attempt_channel[RECORD_ATTEMPTS_MAX];
    uint32_t attempt_model[RECORD_ATTEMPTS_MAX]; /* kept where it is not the record's; else 0 */
    /* Of the tally that the charge was computed from; those in rec are not kept. Its model and channel
     * are the record's. */
    uint32_t count[RECORD_CLASS_COUNT];
    uint8_t tier, service, discount;
    uint32_t deal_u; /* 0: none, and RECORD_DEAL is not set */
    uint32_t tenant_id; /* the account's, whatever rec says */
    uint32_t paid_count; /* at most BLOCK_PAID_MAX; what they come to is at most the charge, the rest is the wallet's */
    struct block_paid paid[BLOCK_PAID_MAX];
    struct record rec;
};

struct block_head {
    uint64_t seq;       /* of the transaction that wrote it */
    uint64_t region_id; /* which memory file the slots were in */
    int64_t commit_wall_us;
    int64_t start_us_min, start_us_max;
    uint32_t record_count, tenant_count;
    int64_t charge_ucr; /* sum */
    uint8_t prev_hash[HASH_LEN];
};

/*
 * Appends a block of the records to *out, which must be empty, and gives its hash. The records must
 * be sorted by tenant; head needs seq, region_id, commit_wall_us and prev_hash, the rest is computed.
 * -ENOMEM; -EINVAL for no records, too many, or sums that overflow.
 */
int block_pack(const struct block_record *const *records, uint32_t count, struct block_head *head,
               struct buf *out, uint8_t hash[HASH_LEN]) MUST_CHECK;

struct block {
    struct block_head head;
    struct str bytes;
    uint32_t tenants_off, calls_off, records_off, records_end;
    bool measured; /* records say how long they are */
};

/* Checks the form but not the hash. The bytes must outlive *out. */
int block_open(struct str bytes, struct block *out) MUST_CHECK;
/* -EILSEQ when the hash is wrong; else it is in hash. */
int block_verify(const struct block *block, uint8_t hash[HASH_LEN]) MUST_CHECK;

struct block_walk {
    const struct block *block;
    uint32_t at, end;
    uint32_t tenant_idx, tenant_left;
    uint32_t tenant_id;
    uint32_t tenant_only; /* 0: all */
    bool damaged;
};
/* Over all records, or one tenant's. block_next() is false at the end and when damaged is set. */
void block_walk(const struct block *block, uint32_t tenant_only, struct block_walk *walk);
bool block_next(struct block_walk *walk, struct block_record *out);
/* The same, of *out but what block_record_look() gives and the tenant. */
bool block_look(struct block_walk *walk, struct block_record *out);
/*
 * The n-th record (from 0) with that call ID: -ENOENT, -EILSEQ. tenant_id 0: anyone's.
 */
int block_find(const struct block *block, const uint8_t call_id[16], uint32_t tenant_id, uint32_t nth,
               struct block_record *out) MUST_CHECK;

#endif
