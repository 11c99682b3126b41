#include "ledger/block_record.h"

#include <string.h>

#define VARINT_BYTES_MAX 10u

/* Beside an attempt's reason: it was for another model than the record's, which follows. */
#define ATTEMPT_OF_OTHER_MODEL 0x100u

/* ---- writing ---- */

/* The length is kept aside: a store of a byte might change it, as far as the compiler knows. */
static inline void
write_u64(struct block_record_bytes *w, uint64_t n)
{
    size_t len = w->len;

    ASSERT(len + VARINT_BYTES_MAX <= sizeof(w->bytes));
    for (; n >= 0x80; n >>= 7)
        w->bytes[len++] = (uint8_t)(n | 0x80);
    w->bytes[len++] = (uint8_t)n;
    w->len = len;
}

static void
write_i64(struct block_record_bytes *w, int64_t n)
{
    write_u64(w, ((uint64_t)n << 1) ^ (uint64_t)(n >> 63));
}

static void
write_bytes(struct block_record_bytes *w, const void *bytes, size_t len)
{
    ASSERT(len <= sizeof(w->bytes) - w->len);
    memcpy(w->bytes + w->len, bytes, len);
    w->len += len;
}

static void
write_attempts(struct block_record_bytes *w, const struct block_record *r)
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
write_counts(struct block_record_bytes *w, const struct block_record *r)
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
    if (r->deal_u != 0)
        write_u64(w, r->deal_u);
}

static void
write_paid(struct block_record_bytes *w, const struct block_record *r)
{
    int64_t left_ucr = r->charge_ucr;

    ASSERT(r->paid_count <= BLOCK_PAID_MAX);
    write_u64(w, r->paid_count);
    for (uint32_t i = 0; i < r->paid_count; i++) {
        ASSERT(r->paid[i].ucr > 0 && r->paid[i].ucr <= left_ucr);
        left_ucr -= r->paid[i].ucr;
        write_u64(w, r->paid[i].kind);
        write_u64(w, r->paid[i].number);
        write_i64(w, r->paid[i].ucr);
    }
}

/* Those that the record's own fields say. */
static uint32_t
flags_of(const struct block_record *r)
{
    return (r->rec.flags & RECORD_FLAGS_KEPT & ~(uint32_t)(RECORD_DEAL | RECORD_PAID)) |
           (r->deal_u != 0 ? RECORD_DEAL : 0u) | (r->paid_count != 0 ? RECORD_PAID : 0u);
}

void
block_record_write(const struct block_record *r, int64_t start_us_min, struct block_record_bytes *w)
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
    write_u64(w, flags_of(r));
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
    if (r->paid_count != 0)
        write_paid(w, r);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t
read_long(struct reader *r)
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

/* Most are of one byte. */
static inline uint64_t
read_u64(struct reader *r)
{
    return r->at != r->end && *r->at < 0x80 ? *r->at++ : read_long(r);
}

static int64_t
read_i64(struct reader *r)
{
    uint64_t n = read_u64(r);

    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

static inline uint32_t
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
    if (out->rec.flags & RECORD_DEAL) {
        out->deal_u = read_max(r, RECORD_DEAL_MAX_U);
        r->bad |= out->deal_u == 0;
    }
}

static void
read_paid(struct reader *r, struct block_record *out)
{
    int64_t left_ucr = out->charge_ucr;

    out->paid_count = read_max(r, BLOCK_PAID_MAX);
    r->bad |= out->paid_count == 0;
    for (uint32_t i = 0; i < out->paid_count; i++) {
        struct block_paid *paid = &out->paid[i];

        paid->kind = read_max(r, UINT8_MAX);
        paid->number = read_u64(r);
        paid->ucr = read_i64(r);
        r->bad |= paid->ucr <= 0 || paid->ucr > left_ucr;
        left_ucr -= r->bad ? 0 : paid->ucr;
    }
}

/* Over so many numbers: each ends with the next byte that has no high bit; eight bytes are looked at side by side. */
static void
skip_numbers(struct reader *r, unsigned count)
{
    while (count > 0 && r->end - r->at >= 8) {
        uint64_t bytes, lasts;
        unsigned here;

        memcpy(&bytes, r->at, sizeof(bytes));
        lasts = ~bytes & UINT64_C(0x8080808080808080);
        here = (unsigned)((lasts >> 7) * UINT64_C(0x0101010101010101) >> 56); /* how many */
        if (here < count) {
            count -= here;
            r->at += 8;
            continue;
        }
        while (--count > 0)
            lasts &= lasts - 1;
        r->at += __builtin_ctzll(lasts) / 8 + 1;
    }
    for (; count > 0 && r->at < r->end; r->at++)
        count -= (*r->at & 0x80) == 0;
    r->bad |= count > 0;
}

static void
skip_bytes(struct reader *r, size_t len)
{
    if (len > (size_t)(r->end - r->at))
        r->bad = true;
    else
        r->at += len;
}

/* Up to the key's, behind the money. */
static void
skip_budgets(struct reader *r)
{
    uint32_t none;

    _Static_assert(BUDGET_KIND_COUNT == sizeof(none), "a byte each, when there are none");
    if (r->end - r->at >= (ptrdiff_t)sizeof(none)) {
        memcpy(&none, r->at, sizeof(none));
        if (none == 0) { /* most have none */
            r->at += sizeof(none);
            return;
        }
    }
    for (unsigned i = 0; i < BUDGET_KIND_COUNT; i++)
        if (read_u64(r) != 0)
            skip_numbers(r, 1);
}

bool
block_record_look(const uint8_t *at, const uint8_t *end, int64_t start_us_min, struct block_record *out)
{
    struct reader reader = {.at = at, .end = end}, *r = &reader;
    struct record *rec = &out->rec;

    skip_bytes(r, sizeof(rec->call_id));
    skip_numbers(r, 5);
    skip_budgets(r);
    rec->key_id = read_max(r, UINT32_MAX);
    rec->member_id = read_max(r, UINT32_MAX);
    rec->project_id = read_max(r, UINT32_MAX);
    out->model = read_max(r, UINT32_MAX);
    out->channel = read_max(r, UINT32_MAX);
    skip_numbers(r, 4); /* upstream, family, protocol, endpoint */
    rec->outcome = (uint8_t)read_max(r, OUTCOME_COUNT - 1);
    skip_numbers(r, 1); /* flags */
    rec->http_status = (uint16_t)read_max(r, UINT16_MAX);
    skip_bytes(r, sizeof(rec->price_version));
    rec->start_wall_us = (int64_t)((uint64_t)start_us_min + read_u64(r));
    return !r->bad;
}

size_t
block_record_read(const uint8_t *at, const uint8_t *end, int64_t start_us_min,
                  struct block_record *out)
{
    struct reader reader = {.at = at, .end = end}, *r = &reader;
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
    rec->queue_us = read_max(r, UINT32_MAX);
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
    if (rec->flags & RECORD_PAID)
        read_paid(r, out);
    return r->bad ? 0 : (size_t)(r->at - at);
}
