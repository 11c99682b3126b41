/* How totals are written, and added to. */
#include "ledger/sum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_MINUTE INT64_C(60000000)
#define FIELDS 13u
#define VARINT_BYTES_MAX 10u
#define ROW_BYTES_MAX (8 + 1 + SUM_QUARTERS * (2 + FIELDS * VARINT_BYTES_MAX))

const char *const sum_dim_name[] = {
    [SUM_ALL] = "all",         [SUM_KEY] = "key",         [SUM_MEMBER] = "member",
    [SUM_PROJECT] = "project", [SUM_MODEL] = "model",     [SUM_CHANNEL] = "channel",
    [SUM_OUTCOME] = "outcome", [SUM_STATUS] = "status",   [SUM_TENANT] = "tenant",
    [SUM_TRANSFER] = "transfer",
};
_Static_assert(COUNT_OF(sum_dim_name) == SUM_DIM_COUNT, "a new dimension needs a name");

void
sum_add(struct sum *to, const struct sum *what)
{
    rollup_add(&to->of, &what->of);
    to->answered += what->answered;
    to->first_byte_ms += what->first_byte_ms;
    to->total_ms += what->total_ms;
}

bool
sum_is_none(const struct sum *sum)
{
    static const struct sum none;

    return memcmp(sum, &none, sizeof(none)) == 0;
}

/* ---- keys ---- */

struct db_key
sum_key(const struct sum_key *key)
{
    struct db_key out;

    db_key_start(&out);
    db_key_u8(&out, key->period);
    db_key_u32(&out, key->bucket);
    db_key_u32(&out, key->tenant_id);
    db_key_u8(&out, key->dim);
    db_key_u32(&out, key->value);
    if (key->dim == SUM_KEY) {
        db_key_u32(&out, key->model);
        db_key_u32(&out, key->channel);
        db_key_u32(&out, key->member);
        db_key_u32(&out, key->project);
    }
    return out;
}

bool
sum_key_read(struct str bytes, struct sum_key *out)
{
    if (bytes.len < 14)
        return false;
    *out = (struct sum_key){
        .period = (uint8_t)bytes.ptr[0],
        .bucket = db_u32(bytes, 1),
        .tenant_id = db_u32(bytes, 5),
        .dim = (uint8_t)bytes.ptr[9],
        .value = db_u32(bytes, 10),
    };
    if (out->dim == SUM_KEY) {
        out->model = db_u32(bytes, 14);
        out->channel = db_u32(bytes, 18);
        out->member = db_u32(bytes, 22);
        out->project = db_u32(bytes, 26);
    }
    return bytes.len == (out->dim == SUM_KEY ? SUM_KEY_BYTES_MAX : 14u) &&
           out->dim < SUM_DIM_COUNT &&
           (out->period == ROLLUP_HOUR || out->period == ROLLUP_DAY);
}

/* ---- values: the mask, which quarters, of each which numbers are not 0, then these ---- */

/* Money may be negative: zigzag. */
static void
fields_of(const struct sum *sum, uint64_t field[FIELDS])
{
    const struct rollup *of = &sum->of;
    const uint64_t all[FIELDS] = {
        of->calls,
        of->errors,
        of->input_tokens,
        of->cache_read_tokens,
        of->cache_write_5m_tokens,
        of->cache_write_1h_tokens,
        of->output_tokens,
        of->reasoning_tokens,
        ((uint64_t)of->charge_ucr << 1) ^ (uint64_t)(of->charge_ucr >> 63),
        ((uint64_t)of->uncollected_ucr << 1) ^ (uint64_t)(of->uncollected_ucr >> 63),
        sum->answered,
        sum->first_byte_ms,
        sum->total_ms,
    };

    memcpy(field, all, sizeof(all));
}

static int64_t
money_of(uint64_t zigzag)
{
    return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
}

static struct sum
sum_of_fields(const uint64_t field[FIELDS])
{
    return (struct sum){
        .of = {.calls = field[0],
               .errors = field[1],
               .input_tokens = field[2],
               .cache_read_tokens = field[3],
               .cache_write_5m_tokens = field[4],
               .cache_write_1h_tokens = field[5],
               .output_tokens = field[6],
               .reasoning_tokens = field[7],
               .charge_ucr = money_of(field[8]),
               .uncollected_ucr = money_of(field[9])},
        .answered = field[10],
        .first_byte_ms = field[11],
        .total_ms = field[12],
    };
}

static size_t
write_sum(const struct sum *sum, uint8_t *out)
{
    uint64_t field[FIELDS];
    uint16_t which = 0;
    size_t len = sizeof(which);

    fields_of(sum, field);
    for (unsigned i = 0; i < FIELDS; i++) {
        uint64_t n = field[i];

        if (n == 0)
            continue;
        which |= (uint16_t)(1u << i);
        for (; n >= 0x80; n >>= 7)
            out[len++] = (uint8_t)(n | 0x80);
        out[len++] = (uint8_t)n;
    }
    memcpy(out, &which, sizeof(which));
    return len;
}

static size_t
row_write(const struct sum_row *row, uint8_t out[ROW_BYTES_MAX])
{
    size_t len = sizeof(row->mask) + 1;

    memcpy(out, &row->mask, sizeof(row->mask));
    out[len - 1] = 0;
    for (unsigned q = 0; q < SUM_QUARTERS; q++)
        if (!sum_is_none(&row->part[q])) {
            out[sizeof(row->mask)] |= (uint8_t)(1u << q);
            len += write_sum(&row->part[q], out + len);
        }
    return len;
}

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t
read_u64(struct reader *r)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;

        if (shift == 63 && byte > 1)
            break;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return n;
    }
    r->bad = true;
    return 0;
}

static void
read_sum(struct reader *r, struct sum *out)
{
    uint64_t field[FIELDS] = {0};
    uint16_t which;

    if (r->end - r->at < (ptrdiff_t)sizeof(which)) {
        r->bad = true;
        return;
    }
    memcpy(&which, r->at, sizeof(which));
    r->at += sizeof(which);
    r->bad = r->bad || which >> FIELDS != 0;
    for (unsigned i = 0; i < FIELDS; i++)
        if (which >> i & 1)
            field[i] = read_u64(r);
    *out = sum_of_fields(field);
}

bool
sum_mask_read(struct str bytes, uint64_t *mask)
{
    if (bytes.len < sizeof(*mask) + 1)
        return false;
    memcpy(mask, bytes.ptr, sizeof(*mask));
    return true;
}

bool
sum_row_read(struct str bytes, struct sum_row *out)
{
    struct reader r = {(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len, false};
    uint8_t quarters;

    memset(out, 0, sizeof(*out));
    if (!sum_mask_read(bytes, &out->mask))
        return false;
    quarters = r.at[sizeof(out->mask)];
    r.at += sizeof(out->mask) + 1;
    for (unsigned q = 0; q < SUM_QUARTERS; q++)
        if (quarters >> q & 1)
            read_sum(&r, &out->part[q]);
    return !r.bad && r.at == r.end && quarters >> SUM_QUARTERS == 0;
}

/* ---- what a record is ---- */

uint32_t
sum_value(const struct block_record *r, enum sum_dim dim)
{
    switch (dim) {
    case SUM_ALL: return 0;
    case SUM_KEY: return r->rec.key_id;
    case SUM_MEMBER: return r->rec.member_id;
    case SUM_PROJECT: return r->rec.project_id;
    case SUM_MODEL: return r->model;
    case SUM_CHANNEL: return r->channel;
    case SUM_OUTCOME: return r->rec.outcome;
    case SUM_STATUS: return r->rec.http_status;
    case SUM_TENANT: return r->tenant_id;
    case SUM_TRANSFER:
    case SUM_DIM_COUNT: break;
    }
    return 0;
}

struct sum
sum_of(const struct block_record *r)
{
    const struct record *rec = &r->rec;
    struct sum sum = {.of = rollup_of(r)};

    if ((rec->flags & RECORD_EXTENSION) == 0 && rec->end_us != 0 &&
        (rec->outcome == OUTCOME_OK || rec->outcome == OUTCOME_NO_USAGE)) {
        sum.answered = 1;
        sum.first_byte_ms = (rec->first_byte_us != 0 ? rec->first_byte_us : rec->end_us) / 1000;
        sum.total_ms = rec->end_us / 1000;
    }
    return sum;
}

/* ---- adding ---- */

static int
row_add(struct db_txn *txn, const struct sum_key *key, unsigned quarter, uint64_t mask,
        const struct sum *sum)
{
    struct db_key at = sum_key(key);
    uint8_t bytes[ROW_BYTES_MAX];
    struct sum_row row = {0};
    struct str stored;
    int rc = db_get(txn, DB_SUM, &at, &stored);

    if (rc == 0 && !sum_row_read(stored, &row))
        return -EILSEQ;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    row.mask |= mask;
    sum_add(&row.part[quarter], sum);
    return db_put(txn, DB_SUM, &at, (struct str){(const char *)bytes, row_write(&row, bytes)});
}

int
sum_put(struct db_txn *txn, const struct sum_key *hour, unsigned quarter, uint64_t mask,
        const struct sum *sum)
{
    struct sum_key day = *hour;
    int rc;

    ASSERT(hour->period == ROLLUP_HOUR);
    ASSERT(quarter < SUM_QUARTERS);
    day.period = ROLLUP_DAY;
    day.bucket /= 24;
    rc = row_add(txn, hour, quarter, mask, sum);
    return rc == 0 ? row_add(txn, &day, 0, mask != 0 ? UINT64_C(1) << hour->bucket % 24 : 0, sum) : rc;
}

/* A record in one dimension: rows first, so that those of one row lie together. */
struct part {
    uint32_t order[8]; /* hour, tenant, value, the rest, and at last the quarter */
    uint32_t idx;
};

static int
part_cmp(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    for (unsigned i = 0; i < COUNT_OF(x->order); i++)
        if (x->order[i] != y->order[i])
            return x->order[i] < y->order[i] ? -1 : 1;
    return 0;
}

/* Mostly they are in order already: of most dimensions a batch has few values. */
static void
parts_sort(struct part *parts, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (part_cmp(&parts[i - 1], &parts[i]) > 0) {
            qsort(parts, count, sizeof(*parts), part_cmp);
            return;
        }
}

struct adding {
    struct db_txn *txn;
    const struct block_record *const *records;
    const struct sum *sums; /* of each record */
    struct part *parts;
    uint32_t count;
};

static void
part_of(const struct block_record *r, enum sum_dim dim, bool of_all, struct part *part)
{
    int64_t start_us = MAX(r->rec.start_wall_us, 0);
    bool rest = dim == SUM_KEY;

    part->order[0] = (uint32_t)(start_us / ROLLUP_HOUR_US);
    part->order[1] = of_all ? 0 : r->tenant_id;
    part->order[2] = sum_value(r, dim);
    part->order[3] = rest ? r->model : 0;
    part->order[4] = rest ? r->channel : 0;
    part->order[5] = rest ? r->rec.member_id : 0;
    part->order[6] = rest ? r->rec.project_id : 0;
    part->order[7] = (uint32_t)(start_us % ROLLUP_HOUR_US / SUM_QUARTER_US);
}

static int
add_dim(struct adding *adding, enum sum_dim dim, bool of_all)
{
    struct part *parts = adding->parts;
    int rc = 0;

    for (uint32_t i = 0; i < adding->count; i++) {
        part_of(adding->records[i], dim, of_all, &parts[i]);
        parts[i].idx = i;
    }
    parts_sort(parts, adding->count);
    for (uint32_t i = 0; rc == 0 && i < adding->count;) {
        const struct part *first = &parts[i];
        struct sum_key key = {
            .period = ROLLUP_HOUR,
            .bucket = first->order[0],
            .tenant_id = first->order[1],
            .dim = (uint8_t)dim,
            .value = first->order[2],
            .model = first->order[3],
            .channel = first->order[4],
            .member = first->order[5],
            .project = first->order[6],
        };
        struct sum sum = {0};
        uint64_t mask = 0;

        for (; i < adding->count && part_cmp(first, &parts[i]) == 0; i++) {
            const struct block_record *r = adding->records[parts[i].idx];

            sum_add(&sum, &adding->sums[parts[i].idx]);
            mask |= UINT64_C(1) << MAX(r->rec.start_wall_us, 0) % ROLLUP_HOUR_US / US_PER_MINUTE;
        }
        rc = sum_put(adding->txn, &key, first->order[7], mask, &sum);
    }
    return rc;
}

int
sum_records(struct db_txn *txn, const struct block_record *const *records, uint32_t count)
{
    static const enum sum_dim of_tenant[] = {SUM_ALL,   SUM_KEY,     SUM_MEMBER,  SUM_PROJECT,
                                             SUM_MODEL, SUM_CHANNEL, SUM_OUTCOME, SUM_STATUS};
    static const enum sum_dim of_all[] = {SUM_ALL,     SUM_MODEL,  SUM_CHANNEL,
                                          SUM_OUTCOME, SUM_STATUS, SUM_TENANT};
    struct sum *sums = malloc(count * sizeof(*sums));
    struct part *parts = malloc(count * sizeof(*parts));
    struct adding adding = {txn, records, sums, parts, count};
    int rc = sums != NULL && parts != NULL ? 0 : -ENOMEM;

    ASSERT(count > 0);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        sums[i] = sum_of(records[i]);
    for (size_t i = 0; rc == 0 && i < COUNT_OF(of_tenant); i++)
        rc = add_dim(&adding, of_tenant[i], false);
    for (size_t i = 0; rc == 0 && i < COUNT_OF(of_all); i++)
        rc = add_dim(&adding, of_all[i], true);
    free(parts);
    free(sums);
    return rc;
}

int
sum_transfer(struct db_txn *txn, uint32_t tenant_id, uint32_t kind, int64_t wall_us, int64_t in_ucr)
{
    struct sum sum = {.of = {.calls = 1, .charge_ucr = in_ucr}};
    struct sum_key key = {
        .period = ROLLUP_HOUR,
        .bucket = (uint32_t)(MAX(wall_us, 0) / ROLLUP_HOUR_US),
        .tenant_id = tenant_id,
        .dim = SUM_TRANSFER,
        .value = kind,
    };
    unsigned quarter = (unsigned)(MAX(wall_us, 0) % ROLLUP_HOUR_US / SUM_QUARTER_US);
    int rc;

    if (in_ucr == 0) /* between other accounts than the pool's */
        return 0;
    rc = sum_put(txn, &key, quarter, 0, &sum);
    key.tenant_id = 0;
    return rc == 0 ? sum_put(txn, &key, quarter, 0, &sum) : rc;
}

/* ---- how far they go ---- */

int
sum_mark_load(struct db_txn *txn, struct sum_mark *mark)
{
    struct str value;
    int rc = db_meta_get(txn, "sums", &value);

    memset(mark, 0, sizeof(*mark));
    if (rc < 0)
        return rc;
    if (value.len != sizeof(*mark))
        return -EILSEQ;
    memcpy(mark, value.ptr, sizeof(*mark));
    return 0;
}

int
sum_mark_put(struct db_txn *txn, const struct sum_mark *mark)
{
    return db_meta_put(txn, "sums", (struct str){(const char *)mark, sizeof(*mark)});
}

bool
sum_complete(struct db_txn *txn)
{
    struct sum_mark mark;

    return sum_mark_load(txn, &mark) == 0 && mark.complete != 0;
}
