#include "ledger/rollup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct db_key
rollup_key(const struct rollup_key *key)
{
    struct db_key out;

    db_key_start(&out);
    db_key_u8(&out, key->period);
    db_key_u32(&out, key->tenant_id);
    db_key_u32(&out, key->bucket);
    db_key_u32(&out, key->key_id);
    db_key_u32(&out, key->model);
    return out;
}

bool
rollup_key_read(struct str bytes, struct rollup_key *out)
{
    if (bytes.len != 17)
        return false;
    out->period = (uint8_t)bytes.ptr[0];
    out->tenant_id = db_u32(bytes, 1);
    out->bucket = db_u32(bytes, 5);
    out->key_id = db_u32(bytes, 9);
    out->model = db_u32(bytes, 13);
    return out->period == ROLLUP_HOUR || out->period == ROLLUP_DAY;
}

bool
rollup_read(struct str bytes, struct rollup *out)
{
    if (bytes.len != sizeof(*out))
        return false;
    memcpy(out, bytes.ptr, sizeof(*out));
    return true;
}

struct rollup
rollup_of(const struct block_record *r)
{
    const struct record *rec = &r->rec;

    /* An extension is money of a call that is counted by its first slot. */
    if (rec->flags & RECORD_EXTENSION)
        return (struct rollup){.charge_ucr = r->charge_ucr};
    return (struct rollup){
        .calls = 1,
        .errors = rec->outcome != OUTCOME_OK && rec->outcome != OUTCOME_NO_USAGE,
        .input_tokens = (uint64_t)r->count[RECORD_INPUT] + r->count[RECORD_AUDIO_INPUT] +
                        r->count[RECORD_IMAGE_INPUT],
        .cache_read_tokens = r->count[RECORD_CACHE_READ],
        .cache_write_5m_tokens = r->count[RECORD_CACHE_WRITE_5M],
        .cache_write_1h_tokens = r->count[RECORD_CACHE_WRITE_1H],
        .output_tokens = record_tokens_out(r->count),
        .reasoning_tokens = r->count[RECORD_REASONING],
        .charge_ucr = r->charge_ucr,
        .uncollected_ucr = rec->uncollected_ucr,
    };
}

/* Totals of counts saturate in no lifetime; money is bounded by what was ever deposited. */
void
rollup_add(struct rollup *to, const struct rollup *what)
{
    to->calls += what->calls;
    to->errors += what->errors;
    to->input_tokens += what->input_tokens;
    to->cache_read_tokens += what->cache_read_tokens;
    to->cache_write_5m_tokens += what->cache_write_5m_tokens;
    to->cache_write_1h_tokens += what->cache_write_1h_tokens;
    to->output_tokens += what->output_tokens;
    to->reasoning_tokens += what->reasoning_tokens;
    if (__builtin_add_overflow(to->charge_ucr, what->charge_ucr, &to->charge_ucr))
        to->charge_ucr = INT64_MAX;
    if (__builtin_add_overflow(to->uncollected_ucr, what->uncollected_ucr, &to->uncollected_ucr))
        to->uncollected_ucr = INT64_MAX;
}

void
rollup_times(const struct block_record *r, struct histogram *first_byte, struct histogram *total)
{
    const struct record *rec = &r->rec;

    if ((rec->flags & RECORD_EXTENSION) != 0 ||
        (rec->outcome != OUTCOME_OK && rec->outcome != OUTCOME_NO_USAGE))
        return;
    if (rec->first_byte_us > 0)
        histogram_add(first_byte, rec->first_byte_us);
    if (rec->end_us > 0)
        histogram_add(total, rec->end_us);
}

bool
rollup_times_read(struct str bytes, struct histogram *first_byte, struct histogram *total)
{
    uint16_t first_len;

    if (bytes.len < sizeof(first_len))
        return false;
    memcpy(&first_len, bytes.ptr, sizeof(first_len));
    bytes = (struct str){bytes.ptr + sizeof(first_len), bytes.len - sizeof(first_len)};
    return first_len <= bytes.len &&
           histogram_read((struct str){bytes.ptr, first_len}, first_byte) &&
           histogram_read((struct str){bytes.ptr + first_len, bytes.len - first_len}, total);
}

struct part {
    struct rollup_key key; /* of the hour */
    struct rollup sum;
    const struct block_record *record;
};

static int
part_cmp(const void *a, const void *b)
{
    const struct rollup_key *x = &((const struct part *)a)->key;
    const struct rollup_key *y = &((const struct part *)b)->key;

    if (x->tenant_id != y->tenant_id)
        return x->tenant_id < y->tenant_id ? -1 : 1;
    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    if (x->key_id != y->key_id)
        return x->key_id < y->key_id ? -1 : 1;
    return x->model < y->model ? -1 : x->model > y->model;
}

/* The times of calls that count under one key. */
static int
put_times(struct db_txn *txn, const struct rollup_key *of, const struct histogram *first_byte,
          const struct histogram *total)
{
    uint8_t bytes[sizeof(uint16_t) + 2 * HISTOGRAM_BYTES_MAX];
    struct histogram first_sum = *first_byte, total_sum = *total;
    struct db_key key = rollup_key(of);
    struct str stored;
    uint16_t first_len;
    size_t len;
    int rc = db_get(txn, DB_LATENCY, &key, &stored);

    if (rc == 0 && !rollup_times_read(stored, &first_sum, &total_sum))
        return -EILSEQ;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    first_len = (uint16_t)histogram_write(&first_sum, bytes + sizeof(first_len));
    memcpy(bytes, &first_len, sizeof(first_len));
    len = sizeof(first_len) + first_len;
    len += histogram_write(&total_sum, bytes + len);
    return db_put(txn, DB_LATENCY, &key, (struct str){(const char *)bytes, len});
}

/* parts: in order, not merged yet. */
static int
put_all_times(struct db_txn *txn, const struct part *parts, uint32_t count)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < count;) {
        struct histogram first_byte = {0}, total = {0};
        uint32_t from = i;

        do {
            rollup_times(parts[i++].record, &first_byte, &total);
        } while (i < count && part_cmp(&parts[i], &parts[from]) == 0);
        if (histogram_total(&total) > 0)
            rc = put_times(txn, &parts[from].key, &first_byte, &total);
    }
    return rc;
}

static void
sort(struct part *parts, uint32_t count)
{
    qsort(parts, count, sizeof(*parts), part_cmp);
}

/* parts: in order. */
static uint32_t
merge(struct part *parts, uint32_t count)
{
    uint32_t merged = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (merged > 0 && part_cmp(&parts[merged - 1], &parts[i]) == 0)
            rollup_add(&parts[merged - 1].sum, &parts[i].sum);
        else
            parts[merged++] = parts[i];
    }
    return merged;
}

static int
put_parts(struct db_txn *txn, const struct part *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct db_key key = rollup_key(&parts[i].key);
        struct rollup sum = {0};
        int rc = db_get_fixed(txn, DB_ROLLUP, &key, &sum, sizeof(sum));

        if (rc < 0 && rc != -ENOENT)
            return rc;
        rollup_add(&sum, &parts[i].sum);
        rc = db_put(txn, DB_ROLLUP, &key, (struct str){(const char *)&sum, sizeof(sum)});
        if (rc < 0)
            return rc;
    }
    return 0;
}

int
rollup_records(struct db_txn *txn, const struct block_record *const *records, uint32_t count)
{
    ASSERT(count > 0);

    struct part *parts = calloc(count, sizeof(*parts));

    if (parts == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(records[i]->rec.start_wall_us >= 0);
        parts[i].key = (struct rollup_key){
            .period = ROLLUP_HOUR,
            .tenant_id = records[i]->tenant_id,
            .bucket = (uint32_t)(records[i]->rec.start_wall_us / ROLLUP_HOUR_US),
            .key_id = records[i]->rec.key_id,
            .model = records[i]->model,
        };
        parts[i].sum = rollup_of(records[i]);
        parts[i].record = records[i];
    }
    sort(parts, count);

    int rc = put_all_times(txn, parts, count);
    uint32_t merged = merge(parts, count);

    if (rc == 0)
        rc = put_parts(txn, parts, merged);

    for (uint32_t i = 0; i < merged; i++) {
        parts[i].key.period = ROLLUP_DAY;
        parts[i].key.bucket /= 24;
    }
    sort(parts, merged);
    if (rc == 0)
        rc = put_parts(txn, parts, merge(parts, merged));
    free(parts);
    return rc;
}
