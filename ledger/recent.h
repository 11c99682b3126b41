/*
 * The last minutes, in memory: what was committed, by tenant and model, and how long it took. Kept by the
 * ledger process beside its commits, so that `turnpike top` asks for no more than a sum over a few
 * slices of time, however many calls there were. Begins empty with the process; no money depends on it.
 *
 * A slice has room for so many pairs of tenant and model; what is beyond counts as one, of neither.
 * One thread calls all of it.
 */
#ifndef LEDGER_RECENT_H
#define LEDGER_RECENT_H

#include "base/arena.h"
#include "ledger/block.h"
#include "ledger/histogram.h"
#include "ledger/rollup.h"

#define RECENT_SLICE_US UINT64_C(10000000)
#define RECENT_SLICES 30u        /* five minutes */
#define RECENT_SLICES_MINUTE 6u

struct recent_count {
    uint64_t calls, errors, tokens_in, tokens_out;
    int64_t charge_ucr;
};
struct recent_part { /* tenant 0, model 0: of all that found no room */
    uint32_t tenant_id, model; /* id of the name in the store */
    struct recent_count count;
};

struct recent_sum {
    uint64_t minute_us, window_us; /* of time that the figures are about */
    struct recent_count minute;    /* the last minute */
    struct recent_part *parts;     /* all of the window, each pair once; in the arena */
    uint32_t part_count;
    struct histogram first_byte, total; /* of answered calls */
};

struct recent;
/* NULL: no memory. Times are of the monotonic clock. */
struct recent *recent_new(uint64_t now_us);
void recent_free(struct recent **recent);
void recent_add(struct recent *recent, uint64_t now_us, const struct block_record *const *records,
                uint32_t count);
int recent_sum(const struct recent *recent, uint64_t now_us, struct arena *arena,
               struct recent_sum *out) MUST_CHECK;
void recent_count_add(struct recent_count *to, const struct recent_count *what);

#endif
