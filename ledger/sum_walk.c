/* Reading totals: a window is days where it can be, hours beside them, and quarters at its ends. */
#include "ledger/sum.h"

#include <errno.h>
#include <string.h>

#define QUARTERS_PER_HOUR 4
#define QUARTERS_PER_DAY 96

/* The rows of one hour or day, of it the quarters from a to b. */
struct piece {
    uint8_t period;
    uint32_t bucket;
    unsigned a, b;
};

static int
walk_piece(struct db_txn *txn, const struct sum_ask *ask, const struct piece *piece, sum_row_fn fn,
           void *arg)
{
    struct db_key from;
    struct db_walk walk;
    struct str key_bytes, value;
    int rc;

    db_key_start(&from);
    db_key_u8(&from, piece->period);
    db_key_u32(&from, piece->bucket);
    db_key_u32(&from, ask->tenant_id);
    db_key_u8(&from, (uint8_t)ask->dim);
    if (ask->one)
        db_key_u32(&from, ask->value);
    rc = db_walk_start(txn, DB_SUM, &from, from.len, &walk);
    while (rc == 0 && db_walk_next(&walk, &key_bytes, &value)) {
        struct sum sum = {0};
        struct sum_key key;
        struct sum_row row;

        if (!sum_key_read(key_bytes, &key) || !sum_row_read(value, &row)) {
            rc = -EILSEQ;
            break;
        }
        for (unsigned q = piece->a; q < piece->b; q++)
            sum_add(&sum, &row.part[q]);
        if (!sum_is_none(&sum))
            rc = fn(arg, &key, &sum);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* The longest piece that begins at that quarter and does not pass the end. */
static int64_t
next_piece(int64_t at, int64_t to, struct piece *piece)
{
    if (at % QUARTERS_PER_DAY == 0 && to - at >= QUARTERS_PER_DAY) {
        *piece = (struct piece){ROLLUP_DAY, (uint32_t)(at / QUARTERS_PER_DAY), 0, 1};
        return at + QUARTERS_PER_DAY;
    }

    int64_t hour = at / QUARTERS_PER_HOUR, end = MIN(to, (hour + 1) * QUARTERS_PER_HOUR);

    *piece = (struct piece){ROLLUP_HOUR, (uint32_t)hour, (unsigned)(at % QUARTERS_PER_HOUR),
                            (unsigned)(end - hour * QUARTERS_PER_HOUR)};
    return end;
}

/* What lies before the first entry and after the last has not to be looked for, day by day. */
static int
window_bound(struct db_txn *txn, struct sum_window *window)
{
    struct str key, value;
    uint32_t first_day;
    int rc = sum_first_day(txn, &first_day);

    if (rc < 0)
        return rc;
    window->from = MAX(window->from, (int64_t)first_day * QUARTERS_PER_DAY);
    rc = db_last(txn, DB_SUM, &key, &value); /* of hours, which come after days */
    if (rc == 0 && (key.len < 5 || key.ptr[0] != ROLLUP_HOUR))
        rc = -EILSEQ;
    if (rc == 0)
        window->to = MIN(window->to, ((int64_t)db_u32(key, 1) + 1) * QUARTERS_PER_HOUR);
    return rc;
}

int
sum_first_day(struct db_txn *txn, uint32_t *day)
{
    struct str key, value;
    int rc = db_first(txn, DB_SUM, &key, &value);

    if (rc == 0 && (key.len < 5 || key.ptr[0] != ROLLUP_DAY))
        rc = -EILSEQ;
    if (rc == 0)
        *day = db_u32(key, 1);
    return rc;
}

int
sum_walk(struct db_txn *txn, const struct sum_ask *ask, sum_row_fn fn, void *arg)
{
    struct sum_window window = ask->window;
    int rc = window_bound(txn, &window);

    for (int64_t at = window.from; rc == 0 && at < window.to;) {
        struct piece piece;

        at = next_piece(at, window.to, &piece);
        rc = walk_piece(txn, ask, &piece, fn, arg);
    }
    return rc == -ENOENT ? 0 : rc;
}

static int
on_row(void *arg, const struct sum_key *key, const struct sum *sum)
{
    (void)key;
    sum_add(arg, sum);
    return 0;
}

int
sum_total(struct db_txn *txn, const struct sum_ask *ask, struct sum *out)
{
    memset(out, 0, sizeof(*out));
    return sum_walk(txn, ask, on_row, out);
}

/* A key's is that of all its rows together. */
int
sum_mask(struct db_txn *txn, uint8_t period, uint32_t bucket, uint32_t tenant_id, enum sum_dim dim,
         uint32_t value, uint64_t *mask)
{
    struct sum_key key = {
        .period = period, .bucket = bucket, .tenant_id = tenant_id, .dim = (uint8_t)dim, .value = value};
    struct db_key from = sum_key(&key);
    struct db_walk walk;
    struct str key_bytes, bytes;
    int rc;

    *mask = 0;
    if (dim != SUM_KEY) {
        rc = db_get(txn, DB_SUM, &from, &bytes);
        if (rc == 0 && !sum_mask_read(bytes, mask))
            rc = -EILSEQ;
        return rc == -ENOENT ? 0 : rc;
    }
    rc = db_walk_start(txn, DB_SUM, &from, 14, &walk);
    while (rc == 0 && db_walk_next(&walk, &key_bytes, &bytes)) {
        uint64_t more;

        if (!sum_mask_read(bytes, &more))
            rc = -EILSEQ;
        else
            *mask |= more;
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}
