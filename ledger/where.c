/* Writing where calls are. Of a block each run of one minute and tenant is few records, or many: see where.h. */
#include "ledger/where.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_MINUTE INT64_C(60000000)

static const enum sum_dim dims_of_tenant[] = {SUM_KEY,     SUM_MEMBER,  SUM_PROJECT, SUM_MODEL,
                                              SUM_CHANNEL, SUM_OUTCOME, SUM_STATUS};
static const enum sum_dim dims_of_all[] = {SUM_MODEL, SUM_CHANNEL, SUM_OUTCOME, SUM_STATUS};

struct at { /* a key of the table */
    uint32_t minute, tenant_id, value;
    uint8_t what;
};

static struct db_key
key_of(const struct at *at)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u32(&key, at->minute);
    db_key_u32(&key, at->tenant_id);
    db_key_u8(&key, at->what);
    db_key_u32(&key, at->value);
    return key;
}

/* What is done with each entry: put, taken away, or looked for. */
struct doing {
    struct db_txn *txn;
    uint64_t block;
    int (*entry)(struct doing *doing, const struct db_key *key);
    /* Whether a run has few records. */
    int (*is_few)(struct doing *doing, const struct at *few, uint32_t count, bool *is_few);
    uint32_t *values; /* room for those of all records */
    uint64_t entries;
};

static int
u32_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint32_t
values_of(const struct block_record *const *records, uint32_t count, enum sum_dim dim,
          uint32_t *values)
{
    uint32_t kept = 0;
    bool sorted = true;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = sum_value(records[i], dim);

        if (kept > 0 && values[kept - 1] == value)
            continue;
        sorted = sorted && (kept == 0 || values[kept - 1] < value);
        values[kept++] = value;
    }
    if (sorted)
        return kept;
    qsort(values, kept, sizeof(*values), u32_cmp);
    count = kept;
    kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || values[kept - 1] != values[i])
            values[kept++] = values[i];
    return kept;
}

static int
entry(struct doing *doing, const struct at *at)
{
    struct db_key key = key_of(at);

    doing->entries++;
    return doing->entry(doing, &key);
}

/* Records of one minute, and of one tenant or, as 0, of all. */
static int
run(struct doing *doing, const struct block_record *const *records, uint32_t count, uint32_t minute,
    uint32_t tenant_id)
{
    const enum sum_dim *dims = tenant_id != 0 ? dims_of_tenant : dims_of_all;
    size_t dim_count = tenant_id != 0 ? COUNT_OF(dims_of_tenant) : COUNT_OF(dims_of_all);
    struct at at = {.minute = minute, .tenant_id = tenant_id, .what = WHERE_FEW};
    bool is_few;
    int rc = doing->is_few(doing, &at, count, &is_few);

    if (rc < 0)
        return rc;
    if (is_few)
        return entry(doing, &at);
    at.what = WHERE_MANY;
    rc = entry(doing, &at);
    for (size_t d = 0; rc == 0 && d < dim_count; d++) {
        uint32_t value_count = values_of(records, count, dims[d], doing->values);

        at.what = (uint8_t)dims[d];
        for (uint32_t i = 0; rc == 0 && i < value_count; i++) {
            at.value = doing->values[i];
            rc = entry(doing, &at);
        }
    }
    return rc;
}

static uint32_t
minute_of(const struct block_record *record)
{
    return (uint32_t)(MAX(record->rec.start_wall_us, 0) / US_PER_MINUTE);
}

struct by_minute {
    uint32_t minute, idx;
};

static int
by_minute_cmp(const void *a, const void *b)
{
    const struct by_minute *x = a, *y = b;

    if (x->minute != y->minute)
        return x->minute < y->minute ? -1 : 1;
    return x->idx < y->idx ? -1 : 1;
}

/* By minute, whoever's they are. */
static int
runs_of_all(struct doing *doing, const struct block_record *const *records, uint32_t count)
{
    struct by_minute *order = malloc(count * sizeof(*order));
    const struct block_record **sorted = malloc(count * sizeof(*sorted));
    int rc = order != NULL && sorted != NULL ? 0 : -ENOMEM;

    for (uint32_t i = 0; rc == 0 && i < count; i++)
        order[i] = (struct by_minute){minute_of(records[i]), i};
    if (rc == 0)
        qsort(order, count, sizeof(*order), by_minute_cmp);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        sorted[i] = records[order[i].idx];
    for (uint32_t i = 0, from; rc == 0 && i < count;) {
        for (from = i; i < count && order[i].minute == order[from].minute;)
            i++;
        rc = run(doing, sorted + from, i - from, order[from].minute, 0);
    }
    free(order);
    free(sorted);
    return rc;
}

static int
runs(struct doing *doing, const struct block_record *const *records, uint32_t count)
{
    int rc;

    doing->values = malloc(MAX(count, 1u) * sizeof(*doing->values));
    rc = doing->values != NULL ? 0 : -ENOMEM;
    for (uint32_t i = 0, from; rc == 0 && i < count;) {
        for (from = i; i < count && records[i]->tenant_id == records[from]->tenant_id &&
                       minute_of(records[i]) == minute_of(records[from]);)
            i++;
        rc = run(doing, records + from, i - from, minute_of(records[from]),
                 records[from]->tenant_id);
    }
    if (rc == 0)
        rc = runs_of_all(doing, records, count);
    free(doing->values);
    return rc;
}

/* ---- putting ---- */

static int
put_entry(struct doing *doing, const struct db_key *key)
{
    return db_many_put(doing->txn, DB_WHERE, key, doing->block);
}

static int
put_is_few(struct doing *doing, const struct at *few, uint32_t count, bool *is_few)
{
    struct db_key key = key_of(few);
    uint64_t blocks = 0;
    int rc = count > WHERE_FEW_RECORDS ? 0 : db_many_count(doing->txn, DB_WHERE, &key, &blocks);

    *is_few = count <= WHERE_FEW_RECORDS && blocks < WHERE_FEW_BLOCKS;
    return rc;
}

int
where_records(struct db_txn *txn, const struct block_record *const *records, uint32_t count,
              uint64_t block)
{
    struct doing doing = {.txn = txn, .block = block, .entry = put_entry, .is_few = put_is_few};

    return runs(&doing, records, count);
}

/* ---- taking away, and looking ---- */

static int
delete_entry(struct doing *doing, const struct db_key *key)
{
    return db_many_delete(doing->txn, DB_WHERE, key, doing->block);
}

static int
look_entry(struct doing *doing, const struct db_key *key)
{
    uint64_t block = 0;
    int rc = db_many_next(doing->txn, DB_WHERE, key, doing->block, &block);

    return rc == 0 && block != doing->block ? -ENOENT : rc;
}

/* What it was when it was put. */
static int
look_is_few(struct doing *doing, const struct at *few, uint32_t count, bool *is_few)
{
    struct db_key key = key_of(few);
    int rc = count > WHERE_FEW_RECORDS ? -ENOENT : look_entry(doing, &key);

    *is_few = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

int
where_delete(struct db_txn *txn, const struct block_record *const *records, uint32_t count,
             uint64_t block)
{
    struct doing doing = {.txn = txn, .block = block, .entry = delete_entry, .is_few = look_is_few};

    return runs(&doing, records, count);
}

int
where_check(struct db_txn *txn, const struct block_record *const *records, uint32_t count,
            uint64_t block, uint64_t *entries)
{
    struct doing doing = {.txn = txn, .block = block, .entry = look_entry, .is_few = look_is_few};
    int rc = runs(&doing, records, count);

    *entries = doing.entries;
    return rc;
}

/* ---- reading: minutes ---- */

/* Which minutes of an hour, or hours of a day, have records of all that is asked for. */
static int
mask_of(struct db_txn *txn, struct where *where, uint8_t period, uint32_t bucket, uint64_t *mask)
{
    int rc = 0;

    *mask = UINT64_MAX;
    where->steps++;
    if (where->filter_count == 0)
        return sum_mask(txn, period, bucket, where->tenant_id, SUM_ALL, 0, mask);
    for (unsigned i = 0; rc == 0 && *mask != 0 && i < where->filter_count; i++) {
        uint64_t one;

        rc = sum_mask(txn, period, bucket, where->tenant_id, where->filters[i].dim,
                      where->filters[i].value, &one);
        *mask &= one;
    }
    return rc;
}

/* Those bits that are not past `at`, seen from where one comes. */
static uint64_t
ahead(uint64_t mask, bool up, unsigned at)
{
    return up ? mask & (UINT64_MAX << at) : mask & (UINT64_MAX >> (63 - at));
}

static unsigned
nearest(uint64_t mask, bool up)
{
    return (unsigned)(up ? __builtin_ctzll(mask) : 63 - __builtin_clzll(mask));
}

/* In one day, from that minute on. -ENOENT. */
static int
minute_of_day(struct db_txn *txn, struct where *where, bool up, uint32_t *minute)
{
    uint32_t day = *minute / 1440, hour = *minute / 60;
    uint64_t hours, minutes;
    int rc = mask_of(txn, where, ROLLUP_DAY, day, &hours);

    if (rc == 0)
        hours = ahead(hours, up, hour % 24);
    for (unsigned from = *minute % 60; rc == 0 && hours != 0; from = up ? 0 : 59) {
        unsigned at = nearest(hours, up);

        if (at != hour % 24)
            from = up ? 0 : 59;
        rc = mask_of(txn, where, ROLLUP_HOUR, day * 24 + at, &minutes);
        if (rc < 0)
            return rc;
        minutes = ahead(minutes, up, from);
        if (minutes != 0) {
            *minute = (day * 24 + at) * 60 + nearest(minutes, up);
            return 0;
        }
        hours &= ~(UINT64_C(1) << at);
    }
    return rc < 0 ? rc : -ENOENT;
}

int
where_minute(struct db_txn *txn, struct where *where, bool oldest_first, uint32_t end,
             uint32_t *minute)
{
    for (uint32_t at = *minute; oldest_first ? at <= end : at >= end;) {
        uint32_t found = at;
        int rc = minute_of_day(txn, where, oldest_first, &found);

        if (rc == 0 && (oldest_first ? found > end : found < end))
            return -ENOENT;
        if (rc == 0)
            *minute = found;
        if (rc != -ENOENT)
            return rc;
        if (!oldest_first && at < 1440)
            return -ENOENT;
        at = oldest_first ? (at / 1440 + 1) * 1440 : at / 1440 * 1440 - 1;
    }
    return -ENOENT;
}

/* ---- reading: blocks ---- */

/* The nearest value of one key from `at` on, including it. */
static int
near_one(struct db_txn *txn, struct where *where, const struct at *key, bool up, uint64_t at,
         uint64_t *block)
{
    struct db_key bytes = key_of(key);

    where->steps++;
    if (up)
        return db_many_next(txn, DB_WHERE, &bytes, at, block);
    return db_many_before(txn, DB_WHERE, &bytes, at + (at < UINT64_MAX), block);
}

/* One that stands under all filters: each says where it can be at the nearest, until all say the same. */
static int
near_many(struct db_txn *txn, struct where *where, uint32_t minute, bool up, uint64_t at,
          uint64_t *block)
{
    struct at key = {.minute = minute, .tenant_id = where->tenant_id, .what = WHERE_MANY};
    unsigned same = 0;

    if (where->filter_count == 0)
        return near_one(txn, where, &key, up, at, block);
    for (unsigned i = 0; same < where->filter_count; i = (i + 1) % where->filter_count) {
        uint64_t found;
        int rc;

        key.what = (uint8_t)where->filters[i].dim;
        key.value = where->filters[i].value;
        rc = near_one(txn, where, &key, up, at, &found);
        if (rc < 0)
            return rc;
        same = found == at ? same + 1 : 1;
        at = found;
    }
    *block = at;
    return 0;
}

int
where_block(struct db_txn *txn, struct where *where, bool oldest_first, uint32_t minute,
            uint64_t *block)
{
    struct at few = {.minute = minute, .tenant_id = where->tenant_id, .what = WHERE_FEW};
    uint64_t at, a, b;
    int rc_few, rc_many;

    if (*block == (oldest_first ? UINT64_MAX : 0))
        return -ENOENT;
    at = oldest_first ? *block + 1 : *block - 1;
    rc_few = near_one(txn, where, &few, oldest_first, at, &a);
    rc_many = near_many(txn, where, minute, oldest_first, at, &b);
    if (rc_few < 0 && rc_few != -ENOENT)
        return rc_few;
    if (rc_many < 0 && (rc_many != -ENOENT || rc_few < 0))
        return rc_many;
    if (rc_few < 0)
        *block = b;
    else if (rc_many < 0)
        *block = a;
    else
        *block = oldest_first ? MIN(a, b) : MAX(a, b);
    return 0;
}

int
where_ends(struct db_txn *txn, uint32_t *first, uint32_t *last)
{
    struct str key, value;
    int rc = db_first(txn, DB_WHERE, &key, &value);

    if (rc < 0)
        return rc;
    *first = db_u32(key, 0);
    rc = db_last(txn, DB_WHERE, &key, &value);
    *last = rc == 0 ? db_u32(key, 0) : 0;
    return rc;
}

bool
where_holds(const struct where *where, const struct block_record *record)
{
    for (unsigned i = 0; i < where->filter_count; i++)
        if (sum_value(record, where->filters[i].dim) != where->filters[i].value)
            return false;
    return true;
}
