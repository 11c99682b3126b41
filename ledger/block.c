#include "ledger/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAGIC 0x4b4c4254u /* "TBLK" */
#define BLOCK_VERSION 2u
#define TENANT_BYTES 12u /* tenant, offset of its first record, count */
#define CALL_BYTES 8u    /* fingerprint, offset of the record */
#define RECORD_BYTES_MAX 1024u
#define VARINT_BYTES_MAX 10u

/* The head as it is stored; numbers little-endian as the machine's. */
struct stored_head {
    uint32_t magic, version;
    uint64_t seq, region_id;
    int64_t commit_wall_us, start_us_min, start_us_max, charge_ucr;
    uint32_t record_count, tenant_count;
    uint32_t total_bytes, records_off;
    uint8_t prev_hash[HASH_LEN];
};
_Static_assert(sizeof(struct stored_head) == 104, "the store's form");

/* ---- packing ---- */

struct writer {
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t len;
};

/* The length is kept aside: a store of a byte might change it, as far as the compiler knows. */
static inline void
write_u64(struct writer *w, uint64_t n)
{
    size_t len = w->len;

    ASSERT(len + VARINT_BYTES_MAX <= sizeof(w->bytes));
    for (; n >= 0x80; n >>= 7)
        w->bytes[len++] = (uint8_t)(n | 0x80);
    w->bytes[len++] = (uint8_t)n;
    w->len = len;
}

static void
write_i64(struct writer *w, int64_t n)
{
    write_u64(w, ((uint64_t)n << 1) ^ (uint64_t)(n >> 63));
}

static void
write_bytes(struct writer *w, const void *bytes, size_t len)
{
    ASSERT(len <= sizeof(w->bytes) - w->len);
    memcpy(w->bytes + w->len, bytes, len);
    w->len += len;
}

/* Beside the reason: the attempt was for another model than the record's, which follows. */
#define ATTEMPT_OF_OTHER_MODEL 0x100u

static void
write_attempts(struct writer *w, const struct block_record *r)
{
    unsigned count = MIN(r->rec.attempt_count, RECORD_ATTEMPTS_MAX);

    write_u64(w, count);
    for (unsigned i = 0; i < count; i++) {
        const struct record_attempt *a = &r->rec.attempt[i];

        write_u64(w, r->attempt_upstream[i]);
        write_u64(w, r->attempt_channel[i]);
        write_u64(w, a->credential);
        write_u64(w, a->status);
        write_u64(w, a->reason | (r->attempt_model[i] != 0 ? ATTEMPT_OF_OTHER_MODEL : 0u));
        if (r->attempt_model[i] != 0)
            write_u64(w, r->attempt_model[i]);
        write_u64(w, a->start_ms);
        write_u64(w, a->took_ms);
    }
}

/* Few classes are counted in one call: which, then their counts. */
static void
write_counts(struct writer *w, const struct block_record *r)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < RECORD_CLASS_COUNT; i++)
        used |= (uint64_t)(r->count[i] != 0) << i;
    write_u64(w, used);
    for (unsigned i = 0; i < RECORD_CLASS_COUNT; i++)
        if (r->count[i] != 0)
            write_u64(w, r->count[i]);
    write_u64(w, r->tier);
    write_u64(w, r->service);
    write_u64(w, r->discount);
}

static void
write_record(struct writer *w, const struct block_record *r, int64_t start_us_min)
{
    const struct record *rec = &r->rec;
    size_t reported_len = strnlen(rec->model_reported, RECORD_MODEL_BYTES);

    w->len = 0;
    write_bytes(w, rec->call_id, sizeof(rec->call_id));
    write_u64(w, r->table_idx);
    write_u64(w, r->slot);
    write_u64(w, r->generation);
    write_i64(w, r->amount_ucr);
    write_i64(w, r->charge_ucr);
    for (unsigned i = 0; i < BUDGET_KIND_COUNT; i++) {
        write_u64(w, r->budget_id[i]);
        if (r->budget_id[i] != 0)
            write_u64(w, r->budget_window[i]);
    }
    write_u64(w, rec->key_id);
    write_u64(w, rec->member_id);
    write_u64(w, rec->project_id);
    write_u64(w, r->model);
    write_u64(w, r->channel);
    write_u64(w, r->upstream);
    write_u64(w, r->family);
    write_u64(w, rec->protocol);
    write_u64(w, rec->endpoint);
    write_u64(w, rec->outcome);
    write_u64(w, rec->flags);
    write_u64(w, rec->http_status);
    write_bytes(w, &rec->price_version, sizeof(rec->price_version)); /* a hash: no small number */
    write_u64(w, (uint64_t)rec->start_wall_us - (uint64_t)start_us_min);
    write_u64(w, rec->first_byte_us);
    write_u64(w, rec->end_us);
    write_u64(w, rec->queue_us);
    write_u64(w, rec->basis);
    write_counts(w, r);
    write_u64(w, rec->request_bytes);
    write_u64(w, rec->response_bytes);
    write_u64(w, rec->reported_in);
    write_u64(w, rec->reported_out);
    write_u64(w, r->asked);
    write_u64(w, r->rule);
    write_i64(w, rec->total_charge_ucr);
    write_i64(w, rec->uncollected_ucr);
    write_i64(w, rec->operator_ucr);
    write_i64(w, rec->before_ucr);
    write_attempts(w, r);
    write_u64(w, reported_len);
    write_bytes(w, rec->model_reported, reported_len);
}

static uint32_t
fingerprint(const uint8_t call_id[16])
{
    uint32_t fp;

    memcpy(&fp, call_id + 12, sizeof(fp));
    return fp;
}

struct call_entry {
    uint32_t fp, off;
};
_Static_assert(sizeof(struct call_entry) == CALL_BYTES, "the store's form");

struct tenant_entry {
    uint32_t tenant_id, off, count;
};
_Static_assert(sizeof(struct tenant_entry) == TENANT_BYTES, "the store's form");

/* By fingerprint, and those of the same one in the order of their records, in which they come: by one
 * byte after the other, which keeps the order of the bytes before. spare has as much room. */
static void
calls_sort(struct call_entry *calls, struct call_entry *spare, uint32_t count)
{
    struct call_entry *from = calls, *to = spare;

    for (unsigned shift = 0; shift < 32; shift += 8) {
        uint32_t at[257] = {0};
        struct call_entry *sorted = to;

        for (uint32_t i = 0; i < count; i++)
            at[(from[i].fp >> shift & 0xff) + 1]++;
        for (unsigned k = 1; k < COUNT_OF(at); k++)
            at[k] += at[k - 1];
        for (uint32_t i = 0; i < count; i++)
            to[at[from[i].fp >> shift & 0xff]++] = from[i];
        to = from;
        from = sorted;
    }
    ASSERT(from == calls); /* an even number of times */
}

static int
head_compute(const struct block_record *const *records, uint32_t count, struct block_head *head)
{
    head->record_count = count;
    head->tenant_count = 0;
    head->charge_ucr = 0;
    head->start_us_min = head->start_us_max = records[0]->rec.start_wall_us;
    for (uint32_t i = 0; i < count; i++) {
        const struct block_record *r = records[i];

        ASSERT(r->charge_ucr >= 0);
        ASSERT(r->charge_ucr <= r->amount_ucr);
        ASSERT(i == 0 || records[i - 1]->tenant_id <= r->tenant_id);
        if (i == 0 || records[i - 1]->tenant_id != r->tenant_id)
            head->tenant_count++;
        head->start_us_min = MIN(head->start_us_min, r->rec.start_wall_us);
        head->start_us_max = MAX(head->start_us_max, r->rec.start_wall_us);
        if (__builtin_add_overflow(head->charge_ucr, r->charge_ucr, &head->charge_ucr))
            return -EINVAL;
    }
    return 0;
}

/* Appends the records and fills the two tables, whose offsets count from the block's start. calls has
 * room for twice as many. */
static void
pack_records(const struct block_record *const *records, const struct block_head *head,
             struct buf *out, struct tenant_entry *tenants, struct call_entry *calls)
{
    struct writer w;
    uint32_t tenant = 0;

    for (uint32_t i = 0; i < head->record_count && !out->failed; i++) {
        const struct block_record *r = records[i];
        uint32_t off = (uint32_t)out->len;

        if (i == 0 || records[i - 1]->tenant_id != r->tenant_id) {
            ASSERT(tenant < head->tenant_count);
            tenants[tenant++] = (struct tenant_entry){.tenant_id = r->tenant_id, .off = off};
        }
        tenants[tenant - 1].count++;
        calls[i] = (struct call_entry){.fp = fingerprint(r->rec.call_id), .off = off};
        write_record(&w, r, head->start_us_min);
        buf_add(out, w.bytes, w.len);
    }
    calls_sort(calls, calls + head->record_count, head->record_count);
}

int
block_pack(const struct block_record *const *records, uint32_t count, struct block_head *head,
           struct buf *out, uint8_t hash[HASH_LEN])
{
    ASSERT(out->len == 0);
    if (count == 0 || count > BLOCK_RECORDS_MAX)
        return -EINVAL;

    int rc = head_compute(records, count, head);

    if (rc < 0)
        return rc;

    size_t tables_bytes = head->tenant_count * TENANT_BYTES + (size_t)count * CALL_BYTES;
    struct tenant_entry *tenants = calloc(head->tenant_count, sizeof(*tenants));
    struct call_entry *calls = calloc((size_t)count * 2, sizeof(*calls));

    if (tenants == NULL || calls == NULL || !buf_reserve(out, sizeof(struct stored_head) +
                                                                  tables_bytes)) {
        rc = -ENOMEM;
        goto out;
    }
    out->len = sizeof(struct stored_head) + tables_bytes;

    uint32_t records_off = (uint32_t)out->len;

    pack_records(records, head, out, tenants, calls);
    if (out->failed) {
        rc = -ENOMEM;
        goto out;
    }

    struct stored_head stored = {
        .magic = BLOCK_MAGIC,
        .version = BLOCK_VERSION,
        .seq = head->seq,
        .region_id = head->region_id,
        .commit_wall_us = head->commit_wall_us,
        .start_us_min = head->start_us_min,
        .start_us_max = head->start_us_max,
        .charge_ucr = head->charge_ucr,
        .record_count = count,
        .tenant_count = head->tenant_count,
        .total_bytes = (uint32_t)(out->len + HASH_LEN),
        .records_off = records_off,
    };

    memcpy(stored.prev_hash, head->prev_hash, HASH_LEN);
    memcpy(out->ptr, &stored, sizeof(stored));
    memcpy(out->ptr + sizeof(stored), tenants, head->tenant_count * TENANT_BYTES);
    memcpy(out->ptr + sizeof(stored) + head->tenant_count * TENANT_BYTES, calls,
           (size_t)count * CALL_BYTES);
    hash_keyed(NULL, out->ptr, out->len, hash);
    rc = buf_add(out, hash, HASH_LEN) ? 0 : -ENOMEM;

out:
    free(tenants);
    free(calls);
    return rc;
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t
read_u64(struct reader *r)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end)
            break;

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

static int64_t
read_i64(struct reader *r)
{
    uint64_t n = read_u64(r);

    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

static uint32_t
read_max(struct reader *r, uint32_t max)
{
    uint64_t n = read_u64(r);

    if (n > max) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

static void
read_bytes(struct reader *r, void *out, size_t len)
{
    if (len > (size_t)(r->end - r->at)) {
        r->bad = true;
        return;
    }
    memcpy(out, r->at, len);
    r->at += len;
}

static void
read_attempts(struct reader *r, struct block_record *out)
{
    out->rec.attempt_count = (uint8_t)read_max(r, RECORD_ATTEMPTS_MAX);
    for (unsigned i = 0; i < out->rec.attempt_count; i++) {
        struct record_attempt *a = &out->rec.attempt[i];
        uint32_t reason;

        out->attempt_upstream[i] = read_max(r, UINT32_MAX);
        out->attempt_channel[i] = read_max(r, UINT32_MAX);
        a->credential = (uint8_t)read_max(r, UINT8_MAX);
        a->status = (uint16_t)read_max(r, UINT16_MAX);
        reason = read_max(r, ATTEMPT_OF_OTHER_MODEL | UINT8_MAX);
        a->reason = (uint8_t)reason;
        if (reason & ATTEMPT_OF_OTHER_MODEL)
            out->attempt_model[i] = read_max(r, UINT32_MAX);
        a->start_ms = read_max(r, UINT32_MAX);
        a->took_ms = read_max(r, UINT32_MAX);
    }
}

static void
read_money(struct reader *r, struct block_record *out)
{
    out->table_idx = read_max(r, UINT32_MAX);
    out->slot = read_max(r, UINT32_MAX);
    out->generation = read_u64(r);
    out->amount_ucr = read_i64(r);
    out->charge_ucr = read_i64(r);
    if (out->charge_ucr < 0 || out->charge_ucr > out->amount_ucr)
        r->bad = true;
    for (unsigned i = 0; i < BUDGET_KIND_COUNT; i++) {
        out->budget_id[i] = read_u64(r);
        if (out->budget_id[i] != 0)
            out->budget_window[i] = (uint16_t)read_max(r, UINT16_MAX);
    }
}

static void
read_counts(struct reader *r, struct block_record *out)
{
    uint32_t used = read_max(r, (1u << RECORD_CLASS_COUNT) - 1);

    for (unsigned i = 0; i < RECORD_CLASS_COUNT; i++)
        if (used >> i & 1)
            out->count[i] = read_max(r, UINT32_MAX);
    out->tier = (uint8_t)read_max(r, UINT8_MAX);
    out->service = (uint8_t)read_max(r, UINT8_MAX);
    out->discount = (uint8_t)read_max(r, UINT8_MAX);
}

static void
read_record(struct reader *r, int64_t start_us_min, struct block_record *out)
{
    struct record *rec = &out->rec;

    memset(out, 0, sizeof(*out));
    read_bytes(r, rec->call_id, sizeof(rec->call_id));
    read_money(r, out);
    rec->key_id = read_max(r, UINT32_MAX);
    rec->member_id = read_max(r, UINT32_MAX);
    rec->project_id = read_max(r, UINT32_MAX);
    out->model = read_max(r, UINT32_MAX);
    out->channel = read_max(r, UINT32_MAX);
    out->upstream = read_max(r, UINT32_MAX);
    out->family = read_max(r, UINT32_MAX);
    rec->protocol = (uint8_t)read_max(r, UINT8_MAX);
    rec->endpoint = (uint8_t)read_max(r, UINT8_MAX);
    rec->outcome = (uint8_t)read_max(r, OUTCOME_COUNT - 1);
    rec->flags = read_max(r, UINT32_MAX);
    rec->http_status = (uint16_t)read_max(r, UINT16_MAX);
    read_bytes(r, &rec->price_version, sizeof(rec->price_version));
    rec->start_wall_us = (int64_t)((uint64_t)start_us_min + read_u64(r));
    rec->first_byte_us = read_u64(r);
    rec->end_us = read_u64(r);
    rec->queue_us = read_u64(r);
    rec->basis = (uint8_t)read_max(r, BASIS_COUNT - 1);
    read_counts(r, out);
    rec->request_bytes = read_max(r, UINT32_MAX);
    rec->response_bytes = read_max(r, UINT32_MAX);
    rec->reported_in = read_max(r, UINT32_MAX);
    rec->reported_out = read_max(r, UINT32_MAX);
    out->asked = read_max(r, UINT32_MAX);
    out->rule = read_max(r, UINT32_MAX);
    rec->total_charge_ucr = read_i64(r);
    rec->uncollected_ucr = read_i64(r);
    rec->operator_ucr = read_i64(r);
    rec->before_ucr = read_i64(r);
    read_attempts(r, out);
    read_bytes(r, rec->model_reported, read_max(r, RECORD_MODEL_BYTES));
}

int
block_open(struct str bytes, struct block *out)
{
    struct stored_head stored;

    memset(out, 0, sizeof(*out));
    if (bytes.len < sizeof(stored) + HASH_LEN || bytes.len > UINT32_MAX)
        return -EILSEQ;
    memcpy(&stored, bytes.ptr, sizeof(stored));
    if (stored.magic != BLOCK_MAGIC || stored.version != BLOCK_VERSION ||
        stored.total_bytes != bytes.len)
        return -EILSEQ;
    if (stored.record_count == 0 || stored.record_count > BLOCK_RECORDS_MAX ||
        stored.tenant_count == 0 || stored.tenant_count > stored.record_count)
        return -EILSEQ;

    size_t calls_off = sizeof(stored) + (size_t)stored.tenant_count * TENANT_BYTES;
    size_t records_off = calls_off + (size_t)stored.record_count * CALL_BYTES;

    if (stored.records_off != records_off || records_off > bytes.len - HASH_LEN)
        return -EILSEQ;
    out->bytes = bytes;
    out->tenants_off = sizeof(stored);
    out->calls_off = (uint32_t)calls_off;
    out->records_off = (uint32_t)records_off;
    out->records_end = (uint32_t)(bytes.len - HASH_LEN);
    out->head = (struct block_head){
        .seq = stored.seq,
        .region_id = stored.region_id,
        .commit_wall_us = stored.commit_wall_us,
        .start_us_min = stored.start_us_min,
        .start_us_max = stored.start_us_max,
        .record_count = stored.record_count,
        .tenant_count = stored.tenant_count,
        .charge_ucr = stored.charge_ucr,
    };
    memcpy(out->head.prev_hash, stored.prev_hash, HASH_LEN);
    return 0;
}

int
block_verify(const struct block *block, uint8_t hash[HASH_LEN])
{
    ASSERT(block->records_end + HASH_LEN == block->bytes.len);
    hash_keyed(NULL, block->bytes.ptr, block->records_end, hash);
    return memcmp(hash, block->bytes.ptr + block->records_end, HASH_LEN) == 0 ? 0 : -EILSEQ;
}

static struct tenant_entry
tenant_entry_at(const struct block *block, uint32_t i)
{
    struct tenant_entry entry;

    ASSERT(i < block->head.tenant_count);
    memcpy(&entry, block->bytes.ptr + block->tenants_off + (size_t)i * TENANT_BYTES, sizeof(entry));
    return entry;
}

void
block_walk(const struct block *block, uint32_t tenant_only, struct block_walk *walk)
{
    *walk = (struct block_walk){.block = block, .tenant_only = tenant_only};
}

/* On to the next tenant that is wanted; false when there is none. */
static bool
walk_tenant(struct block_walk *walk)
{
    while (walk->tenant_idx < walk->block->head.tenant_count) {
        struct tenant_entry entry = tenant_entry_at(walk->block, walk->tenant_idx++);

        if (walk->tenant_only != 0 && entry.tenant_id != walk->tenant_only)
            continue;
        if (entry.off < walk->block->records_off || entry.off >= walk->block->records_end ||
            entry.count == 0 || entry.count > walk->block->head.record_count) {
            walk->damaged = true;
            return false;
        }
        walk->at = entry.off;
        walk->tenant_left = entry.count;
        walk->tenant_id = entry.tenant_id;
        return true;
    }
    return false;
}

bool
block_next(struct block_walk *walk, struct block_record *out)
{
    const uint8_t *base = (const uint8_t *)walk->block->bytes.ptr;

    if (walk->damaged || (walk->tenant_left == 0 && !walk_tenant(walk)))
        return false;

    struct reader r = {.at = base + walk->at, .end = base + walk->block->records_end};

    read_record(&r, walk->block->head.start_us_min, out);
    if (r.bad) {
        walk->damaged = true;
        return false;
    }
    out->tenant_id = out->rec.tenant_id = walk->tenant_id;
    walk->at = (uint32_t)(r.at - base);
    walk->tenant_left--;
    return true;
}

static struct call_entry
call_entry_at(const struct block *block, uint32_t i)
{
    struct call_entry entry;

    ASSERT(i < block->head.record_count);
    memcpy(&entry, block->bytes.ptr + block->calls_off + (size_t)i * CALL_BYTES, sizeof(entry));
    return entry;
}

/* Whose the record at that offset is: the last tenant that starts at or before it. */
static uint32_t
tenant_of(const struct block *block, uint32_t off)
{
    uint32_t low = 0, high = block->head.tenant_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (tenant_entry_at(block, middle).off <= off)
            low = middle;
        else
            high = middle;
    }
    return tenant_entry_at(block, low).tenant_id;
}

int
block_find(const struct block *block, const uint8_t call_id[16], uint32_t tenant_id, uint32_t nth,
           struct block_record *out)
{
    uint32_t fp = fingerprint(call_id), low = 0, high = block->head.record_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (call_entry_at(block, middle).fp < fp)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < block->head.record_count; low++) {
        struct call_entry entry = call_entry_at(block, low);
        const uint8_t *base = (const uint8_t *)block->bytes.ptr;

        if (entry.fp != fp)
            break;
        if (entry.off < block->records_off || entry.off >= block->records_end)
            return -EILSEQ;

        struct reader r = {.at = base + entry.off, .end = base + block->records_end};

        read_record(&r, block->head.start_us_min, out);
        if (r.bad)
            return -EILSEQ;
        out->tenant_id = out->rec.tenant_id = tenant_of(block, entry.off);
        if (memcmp(out->rec.call_id, call_id, 16) != 0 ||
            (tenant_id != 0 && out->tenant_id != tenant_id))
            continue;
        if (nth-- == 0)
            return 0;
    }
    return -ENOENT;
}
