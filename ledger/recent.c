#include "ledger/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARTS 128u /* a power of two */
#define PARTS_USED_MAX 96u

struct slice {
    uint64_t number; /* of the slice since the clock began; 0: never used */
    uint32_t used;
    struct recent_part part[PARTS]; /* open addressing; calls and charge of 0: free */
    bool taken[PARTS];
    struct recent_part others, all;
    struct histogram first_byte, total;
};

struct recent {
    uint64_t born_us;
    struct slice slice[RECENT_SLICES];
};

struct recent *
recent_new(uint64_t now_us)
{
    struct recent *recent = calloc(1, sizeof(*recent));

    if (recent != NULL)
        recent->born_us = now_us;
    return recent;
}

void
recent_free(struct recent **recent)
{
    free(*recent);
    *recent = NULL;
}

static void
money_add(int64_t *to_ucr, int64_t ucr)
{
    if (__builtin_add_overflow(*to_ucr, ucr, to_ucr))
        *to_ucr = INT64_MAX;
}

void
recent_count_add(struct recent_count *to, const struct recent_count *what)
{
    to->calls += what->calls;
    to->errors += what->errors;
    to->tokens_in += what->tokens_in;
    to->tokens_out += what->tokens_out;
    money_add(&to->charge_ucr, what->charge_ucr);
}

static struct slice *
slice_now(struct recent *recent, uint64_t now_us)
{
    uint64_t number = now_us / RECENT_SLICE_US + 1;
    struct slice *slice = &recent->slice[number % RECENT_SLICES];

    if (slice->number != number) {
        memset(slice, 0, sizeof(*slice));
        slice->number = number;
    }
    return slice;
}

static uint32_t
place_of(uint32_t tenant_id, uint32_t model)
{
    return (tenant_id * 2654435761u ^ model * 2246822519u) >> 16;
}

/* The entry of a pair, or that of the others. */
static struct recent_part *
part_at(struct slice *slice, uint32_t tenant_id, uint32_t model)
{
    for (uint32_t at = place_of(tenant_id, model);; at++) {
        struct recent_part *part = &slice->part[at % PARTS];

        if (slice->taken[at % PARTS]) {
            if (part->tenant_id == tenant_id && part->model == model)
                return part;
            continue;
        }
        if (slice->used == PARTS_USED_MAX)
            return &slice->others;
        slice->taken[at % PARTS] = true;
        slice->used++;
        part->tenant_id = tenant_id;
        part->model = model;
        return part;
    }
}

static struct recent_count
count_of(const struct block_record *r)
{
    struct rollup sum = rollup_of(r);

    return (struct recent_count){
        .calls = sum.calls,
        .errors = sum.errors,
        .tokens_in = sum.input_tokens + sum.cache_read_tokens + sum.cache_write_5m_tokens +
                     sum.cache_write_1h_tokens,
        .tokens_out = sum.output_tokens,
        .charge_ucr = sum.charge_ucr,
    };
}

void
recent_add(struct recent *recent, uint64_t now_us, const struct block_record *const *records,
           uint32_t count)
{
    struct slice *slice = slice_now(recent, now_us);

    for (uint32_t i = 0; i < count; i++) {
        const struct block_record *r = records[i];
        struct recent_count c = count_of(r);

        recent_count_add(&part_at(slice, r->tenant_id, r->model)->count, &c);
        recent_count_add(&slice->all.count, &c);
        rollup_times(r, &slice->first_byte, &slice->total);
    }
}

/* ---- sums ---- */

static int
part_cmp(const void *a, const void *b)
{
    const struct recent_part *x = a, *y = b;

    if (x->tenant_id != y->tenant_id)
        return x->tenant_id < y->tenant_id ? -1 : 1;
    return x->model < y->model ? -1 : x->model > y->model;
}

static void
parts_merge(struct recent_sum *out)
{
    uint32_t merged = 0;

    qsort(out->parts, out->part_count, sizeof(*out->parts), part_cmp);
    for (uint32_t i = 0; i < out->part_count; i++) {
        if (merged > 0 && part_cmp(&out->parts[merged - 1], &out->parts[i]) == 0)
            recent_count_add(&out->parts[merged - 1].count, &out->parts[i].count);
        else
            out->parts[merged++] = out->parts[i];
    }
    out->part_count = merged;
}

static void
slice_take(const struct slice *slice, struct recent_sum *out)
{
    for (uint32_t i = 0; i < PARTS; i++)
        if (slice->taken[i])
            out->parts[out->part_count++] = slice->part[i];
    if (slice->others.count.calls > 0)
        out->parts[out->part_count++] = slice->others;
    histogram_merge(&out->first_byte, &slice->first_byte);
    histogram_merge(&out->total, &slice->total);
}

/* How long ago a slice began, but no longer than the process is old. */
static uint64_t
since(const struct recent *recent, uint64_t now_us, uint64_t number)
{
    uint64_t from_us = MAX((number - 1) * RECENT_SLICE_US, recent->born_us);

    return now_us > from_us ? now_us - from_us : 0;
}

int
recent_sum(const struct recent *recent, uint64_t now_us, struct arena *arena,
           struct recent_sum *out)
{
    uint64_t last = now_us / RECENT_SLICE_US + 1;
    uint64_t first = last > RECENT_SLICES - 1 ? last - (RECENT_SLICES - 1) : 1;
    uint64_t minute = last > RECENT_SLICES_MINUTE - 1 ? last - (RECENT_SLICES_MINUTE - 1) : 1;

    memset(out, 0, sizeof(*out));
    out->parts = arena_alloc(arena, sizeof(*out->parts) * RECENT_SLICES * (PARTS_USED_MAX + 1));
    if (out->parts == NULL)
        return -ENOMEM;
    out->window_us = since(recent, now_us, first);
    out->minute_us = since(recent, now_us, minute);
    for (uint32_t i = 0; i < RECENT_SLICES; i++) {
        const struct slice *slice = &recent->slice[i];

        if (slice->number < first || slice->number > last)
            continue;
        slice_take(slice, out);
        if (slice->number >= minute)
            recent_count_add(&out->minute, &slice->all.count);
    }
    parts_merge(out);
    return 0;
}
