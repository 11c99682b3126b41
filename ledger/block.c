#include "ledger/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/block_record.h"

#define BLOCK_MAGIC 0x4b4c4254u /* "TBLK" */
#define BLOCK_VERSION 3u
#define BLOCK_VERSION_UNMEASURED 2u /* still read: its records do not say how long they are */
#define TENANT_BYTES 12u /* tenant, offset of its first record, count */
#define CALL_BYTES 8u    /* fingerprint, offset of the record */

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

/* Before each record, so that who only looks at it need not read it to its end. */
static void
length_put(struct buf *out, size_t len)
{
    uint16_t stored = (uint16_t)len;

    ASSERT(len <= UINT16_MAX);
    buf_add(out, &stored, sizeof(stored));
}

/* Appends the records and fills the two tables, whose offsets count from the block's start. calls has
 * room for twice as many. */
static void
pack_records(const struct block_record *const *records, const struct block_head *head,
             struct buf *out, struct tenant_entry *tenants, struct call_entry *calls)
{
    struct block_record_bytes w;
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
        block_record_write(r, head->start_us_min, &w);
        length_put(out, w.len);
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

int
block_open(struct str bytes, struct block *out)
{
    struct stored_head stored;

    memset(out, 0, sizeof(*out));
    if (bytes.len < sizeof(stored) + HASH_LEN || bytes.len > UINT32_MAX)
        return -EILSEQ;
    memcpy(&stored, bytes.ptr, sizeof(stored));
    if (stored.magic != BLOCK_MAGIC || stored.total_bytes != bytes.len ||
        (stored.version != BLOCK_VERSION && stored.version != BLOCK_VERSION_UNMEASURED))
        return -EILSEQ;
    if (stored.record_count == 0 || stored.record_count > BLOCK_RECORDS_MAX ||
        stored.tenant_count == 0 || stored.tenant_count > stored.record_count)
        return -EILSEQ;

    size_t calls_off = sizeof(stored) + (size_t)stored.tenant_count * TENANT_BYTES;
    size_t records_off = calls_off + (size_t)stored.record_count * CALL_BYTES;

    if (stored.records_off != records_off || records_off > bytes.len - HASH_LEN)
        return -EILSEQ;
    out->bytes = bytes;
    out->measured = stored.version == BLOCK_VERSION;
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

/* The record at that offset; the bytes it takes there, 0 when they make no sense. */
static inline size_t
record_at(const struct block *block, uint32_t off, bool whole, struct block_record *out)
{
    const uint8_t *at = (const uint8_t *)block->bytes.ptr + off;
    const uint8_t *end = (const uint8_t *)block->bytes.ptr + block->records_end;
    uint16_t len;

    if (!block->measured)
        return block_record_read(at, end, block->head.start_us_min, out);
    if ((size_t)(end - at) < sizeof(len))
        return 0;
    memcpy(&len, at, sizeof(len));
    at += sizeof(len);
    if (len == 0 || len > end - at) /* 0 is also what a reader says of nonsense */
        return 0;
    if (whole ? block_record_read(at, at + len, block->head.start_us_min, out) != len
              : !block_record_look(at, at + len, block->head.start_us_min, out))
        return 0;
    return sizeof(len) + len;
}

static inline bool
walk_on(struct block_walk *walk, struct block_record *out, bool whole)
{
    size_t len;

    if (walk->damaged || (walk->tenant_left == 0 && !walk_tenant(walk)))
        return false;
    len = record_at(walk->block, walk->at, whole, out);
    if (len == 0) {
        walk->damaged = true;
        return false;
    }
    out->tenant_id = out->rec.tenant_id = walk->tenant_id;
    walk->at += (uint32_t)len;
    walk->tenant_left--;
    return true;
}

bool
block_next(struct block_walk *walk, struct block_record *out)
{
    return walk_on(walk, out, true);
}

bool
block_look(struct block_walk *walk, struct block_record *out)
{
    return walk_on(walk, out, false);
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

        if (entry.fp != fp)
            break;
        if (entry.off < block->records_off || entry.off >= block->records_end)
            return -EILSEQ;
        if (record_at(block, entry.off, true, out) == 0)
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
