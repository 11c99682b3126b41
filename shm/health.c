/*
 * The circuit, one word:
 *
 *     bits  0-1   state: closed, open, on trial
 *     bits  2-5   class of the failure that opened it
 *     bits  6-9   how often its open time was doubled
 *     bits 10-15  on trial: the holder's table
 *     bits 16-23  on trial: the lowest bits of that table's incarnation
 *     bits 24-63  time in ms: of a closed one when it closed (0: never was open), of an open one when
 *                 it is over, of a trial when its ticket is void at the latest
 *
 * closed -> open    a failure that makes `needed` of the last HEALTH_WINDOW; or at once, when the
 *                   credential is refused or the upstream said when to come back
 * open   -> trial   time is over: whoever begins first
 * trial  -> trial   its holder's worker is gone, or the ticket's time is over: whoever begins first
 * trial  -> closed  it went well
 * trial  -> open    it failed: for twice as long; or it said nothing: half open at once
 *
 * An open time begins anew at its shortest, unless the circuit was closed for less than
 * RELAPSE_MS. Attempts that began before the circuit opened end while it is open, often many at
 * once: their failures say nothing new and must not prolong it, unless the upstream gave a later
 * time; their successes do not close it, since some get through wherever many fail.
 */
#include "shm/health.h"

#include "shm/layout.h"

#define AVERAGE_OF 8 /* a moving average takes one eighth of what is new */
#define DOUBLINGS_MAX 10u
#define RELAPSE_MS 30000u
#define WINDOW_MASK ((1u << HEALTH_WINDOW) - 1)
#define TIME_MS_MAX ((UINT64_C(1) << 40) - 1)
#define PPM 1000000u

_Static_assert(sizeof(struct health) == 4 * CACHE_LINE, "what is shared differently, apart");
_Static_assert(HEALTH_CLASS_COUNT <= 16 && REGION_TABLES_MAX <= 64, "the circuit's bits");
_Static_assert(DOUBLINGS_MAX <= 15, "likewise");

const char *const health_class_name[] = {
    [HEALTH_AUTH] = "auth",         [HEALTH_DENIED] = "denied",   [HEALTH_RATE] = "rate",
    [HEALTH_OVERLOAD] = "overload", [HEALTH_SERVER] = "server",   [HEALTH_TIMEOUT] = "timeout",
    [HEALTH_RESET] = "reset",       [HEALTH_EMPTY] = "empty",     [HEALTH_ERROR] = "error-in-200",
    [HEALTH_GARBAGE] = "garbage",   [HEALTH_MISMATCH] = "mismatch",
};
_Static_assert(COUNT_OF(health_class_name) == HEALTH_CLASS_COUNT, "a new class needs a name");

const char *const health_state_name[] = {
    [HEALTH_STATE_CLOSED] = "closed",
    [HEALTH_STATE_OPEN] = "open",
    [HEALTH_STATE_HALF_OPEN] = "half-open",
};
_Static_assert(COUNT_OF(health_state_name) == HEALTH_STATE_COUNT, "a new state needs a name");

/* What it takes to open, in failures of the last HEALTH_WINDOW attempts, and for how long. */
struct rule {
    uint32_t needed, open_ms, open_ms_max;
};
static const struct rule rules[HEALTH_CLASS_COUNT] = {
    /* A refused key stays refused until somebody does something about it. A 403 may be about what one
     * caller asked for: a single one must not take the upstream from all others. */
    [HEALTH_AUTH] = {1, 60000, 600000},
    [HEALTH_DENIED] = {3, 60000, 600000},
    [HEALTH_RATE] = {5, 1000, 60000},
    [HEALTH_OVERLOAD] = {5, 1000, 60000},
    [HEALTH_SERVER] = {5, 1000, 60000},
    /* Each of these costs a caller its whole time limit. */
    [HEALTH_TIMEOUT] = {3, 2000, 60000},
    [HEALTH_RESET] = {5, 1000, 60000},
    [HEALTH_EMPTY] = {5, 1000, 60000},
    [HEALTH_ERROR] = {5, 1000, 60000},
    [HEALTH_GARBAGE] = {5, 1000, 60000},
    [HEALTH_MISMATCH] = {5, 1000, 60000},
};

/* ---- the word ---- */

enum circuit_state { CIRCUIT_CLOSED = 0, CIRCUIT_OPEN, CIRCUIT_TRIAL };

struct circuit {
    enum circuit_state state;
    enum health_class why;
    uint32_t doublings;
    uint32_t table_idx, incarnation; /* 0 unless on trial */
    uint64_t time_ms;
};

static struct circuit
circuit_of(uint64_t word)
{
    return (struct circuit){
        .state = (enum circuit_state)(word & 3),
        .why = (enum health_class)MIN(word >> 2 & 15, (uint64_t)HEALTH_CLASS_COUNT - 1),
        .doublings = (uint32_t)(word >> 6 & 15),
        .table_idx = (uint32_t)(word >> 10 & 63),
        .incarnation = (uint32_t)(word >> 16 & 255),
        .time_ms = word >> 24,
    };
}

static uint64_t
circuit_word(const struct circuit *c)
{
    ASSERT(c->table_idx < 64 && c->incarnation < 256 && c->doublings <= 15);
    return (uint64_t)c->state | (uint64_t)c->why << 2 | (uint64_t)c->doublings << 6 |
           (uint64_t)c->table_idx << 10 | (uint64_t)c->incarnation << 16 |
           MIN(c->time_ms, TIME_MS_MAX) << 24;
}

static uint64_t
circuit_load(const struct health *health)
{
    return atomic_load_explicit(&health->circuit, memory_order_relaxed);
}

static bool
circuit_swap(struct health *health, uint64_t from, const struct circuit *to)
{
    return atomic_compare_exchange_strong_explicit(&health->circuit, &from, circuit_word(to),
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* ---- lines ---- */

struct health *
health_at(struct region *region, uint16_t name_id, uint8_t credential)
{
    struct health *lines = region_part(region, REGION_HEALTH);
    uint32_t max = region->header->geometry.health_max;
    uint32_t key = (uint32_t)name_id | (uint32_t)credential << 16;

    if (name_id == 0)
        return NULL;
    for (uint32_t i = 0, at = (name_id + credential * 31u) % max; i < max;
         i++, at = at + 1 == max ? 0 : at + 1) {
        uint32_t have = atomic_load_explicit(&lines[at].key, memory_order_relaxed);

        /* A line of nobody is all zero, which is right for a new upstream. */
        if (have == 0 &&
            atomic_compare_exchange_strong_explicit(&lines[at].key, &have, key,
                                                    memory_order_relaxed, memory_order_relaxed))
            return &lines[at];
        if (have == key)
            return &lines[at];
    }
    return NULL;
}

struct health *
health_line(const struct region *region, uint32_t line_idx)
{
    struct health *lines = region_part(region, REGION_HEALTH);

    if (line_idx >= region->header->geometry.health_max ||
        atomic_load_explicit(&lines[line_idx].key, memory_order_relaxed) == 0)
        return NULL;
    return &lines[line_idx];
}

uint32_t
health_line_idx(const struct region *region, const struct health *health)
{
    const struct health *lines = region_part(region, REGION_HEALTH);
    size_t idx = (size_t)(health - lines);

    ASSERT(health >= lines && idx < region->header->geometry.health_max);
    return (uint32_t)idx;
}

uint16_t
health_name_id(const struct health *health)
{
    return (uint16_t)atomic_load_explicit(&health->key, memory_order_relaxed);
}

uint8_t
health_credential(const struct health *health)
{
    return (uint8_t)(atomic_load_explicit(&health->key, memory_order_relaxed) >> 16);
}

void
health_introduce(struct health *health, uint32_t generation, uint16_t credential_name,
                 uint32_t secret_mark, bool disabled)
{
    uint32_t before = atomic_exchange_explicit(&health->secret_mark, secret_mark,
                                               memory_order_relaxed);

    atomic_store_explicit(&health->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&health->credential_name, credential_name, memory_order_relaxed);
    atomic_store_explicit(&health->disabled, disabled, memory_order_relaxed);
    if (before == secret_mark)
        return;
    atomic_store_explicit(&health->circuit, 0, memory_order_relaxed);
    atomic_store_explicit(&health->history, 0, memory_order_relaxed);
}

bool
health_is_named(const struct region *region, const struct health *health)
{
    uint32_t in_charge = atomic_load_explicit(&region->header->generation, memory_order_relaxed);

    return (int32_t)(atomic_load_explicit(&health->generation, memory_order_relaxed) - in_charge) >=
           0;
}

bool
health_is_of_secret(const struct health *health, uint32_t secret_mark)
{
    return atomic_load_explicit(&health->secret_mark, memory_order_relaxed) == secret_mark;
}

/* ---- figures ---- */

static void
average_add(_Atomic uint32_t *average, uint32_t value, uint32_t average_of)
{
    uint32_t have = atomic_load_explicit(average, memory_order_relaxed);
    uint32_t next = value;

    if (have != 0)
        next = (uint32_t)(((uint64_t)have * (average_of - 1) + value) / average_of);
    if (next != have)
        atomic_store_explicit(average, next, memory_order_relaxed);
}

static void
first_byte_add(struct health *health, uint64_t now_ms, uint32_t first_byte_us)
{
    uint64_t before_ms = atomic_load_explicit(&health->measured_ms, memory_order_relaxed);
    bool old = now_ms > before_ms && now_ms - before_ms > HEALTH_OLD_MS;

    average_add(&health->first_byte_us, first_byte_us, old ? 2 : AVERAGE_OF);
    atomic_store_explicit(&health->measured_ms, now_ms, memory_order_relaxed);
}

/* Not average_add(): a rate of 0 is known, and the first failure must not make it a million. */
static void
error_rate_add(struct health *health, uint32_t ppm)
{
    uint32_t have = atomic_load_explicit(&health->error_ppm, memory_order_relaxed);
    uint32_t next = (have * (AVERAGE_OF - 1) + ppm) / AVERAGE_OF;

    if (next != have)
        atomic_store_explicit(&health->error_ppm, MIN(next, PPM), memory_order_relaxed);
}

/* Mostly there is no failure to be shifted out, and a line that is only read is shared by all. */
static uint32_t
history_add(struct health *health, bool failed)
{
    uint32_t have = atomic_load_explicit(&health->history, memory_order_relaxed), next;

    if (!failed && (have & WINDOW_MASK) == 0)
        return 0;
    do
        next = (have << 1 | failed) & WINDOW_MASK;
    while (!atomic_compare_exchange_weak_explicit(&health->history, &have, next,
                                                  memory_order_relaxed, memory_order_relaxed));
    return next;
}

void
health_token_time(struct health *health, uint32_t us_per_token)
{
    average_add(&health->us_per_token, MAX(us_per_token, 1u), AVERAGE_OF);
}

/* ---- the circuit ---- */

static enum health_change
changed(struct health *health, uint64_t now_ms, enum health_change change)
{
    atomic_store_explicit(&health->changed_ms, now_ms, memory_order_relaxed);
    return change;
}

static enum health_change
circuit_close(struct health *health, uint64_t now_ms)
{
    uint64_t word = circuit_load(health);
    struct circuit c = circuit_of(word);

    if (c.state == CIRCUIT_CLOSED)
        return HEALTH_SAME;
    c = (struct circuit){.state = CIRCUIT_CLOSED, .doublings = c.doublings, .time_ms = now_ms};
    if (!circuit_swap(health, word, &c))
        return HEALTH_SAME;
    atomic_store_explicit(&health->history, 0, memory_order_relaxed);
    return changed(health, now_ms, HEALTH_CLOSED);
}

/* For how long it is open that many doublings later; *retry_after_ms is what the upstream wants. */
static uint64_t
open_ms(enum health_class why, uint32_t doublings, uint64_t retry_after_ms)
{
    if (retry_after_ms > 0)
        return MIN(retry_after_ms, HEALTH_RETRY_AFTER_MS_MAX);
    return MIN((uint64_t)rules[why].open_ms << doublings, rules[why].open_ms_max);
}

static enum health_change
circuit_open(struct health *health, uint64_t word, enum health_class why, uint64_t now_ms,
             uint64_t retry_after_ms)
{
    struct circuit was = circuit_of(word);
    struct circuit c = {.state = CIRCUIT_OPEN, .why = why, .doublings = was.doublings};
    enum health_change change = was.state == CIRCUIT_CLOSED ? HEALTH_OPENED : HEALTH_REOPENED;

    if (was.state == CIRCUIT_CLOSED && (was.time_ms == 0 || now_ms - was.time_ms > RELAPSE_MS))
        c.doublings = 0;
    else if (was.state != CIRCUIT_OPEN && retry_after_ms == 0)
        c.doublings = MIN(c.doublings + 1, DOUBLINGS_MAX);
    c.time_ms = now_ms + open_ms(why, c.doublings, retry_after_ms);
    /* A failure that says when to come back, of an attempt that began before: only if it is later. */
    if (was.state == CIRCUIT_OPEN && c.time_ms <= was.time_ms)
        return HEALTH_SAME;
    if (!circuit_swap(health, word, &c))
        return HEALTH_SAME;
    return changed(health, now_ms, change);
}

enum health_change
health_ok(struct health *health, enum health_pass pass, uint64_t now_ms, uint32_t first_byte_us)
{
    atomic_fetch_add_explicit(&health->calls, 1, memory_order_relaxed);
    error_rate_add(health, 0);
    if (first_byte_us > 0)
        first_byte_add(health, now_ms, first_byte_us);
    if (pass == HEALTH_TRIAL)
        return circuit_close(health, now_ms);
    (void)history_add(health, false);
    return HEALTH_SAME;
}

enum health_change
health_failed(struct health *health, enum health_pass pass, enum health_class why, uint64_t now_ms,
              uint64_t retry_after_ms)
{
    uint64_t word = circuit_load(health);
    struct circuit c = circuit_of(word);
    bool at_once = rules[why].needed == 1 || retry_after_ms > 0;
    uint32_t history;

    ASSERT((unsigned)why < HEALTH_CLASS_COUNT);
    atomic_fetch_add_explicit(&health->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&health->failed[why], 1, memory_order_relaxed);
    atomic_store_explicit(&health->failed_ms, now_ms, memory_order_relaxed);
    error_rate_add(health, PPM);
    switch (c.state) {
    case CIRCUIT_TRIAL:
        if (pass != HEALTH_TRIAL)
            return HEALTH_SAME;
        return circuit_open(health, word, why, now_ms, retry_after_ms);
    case CIRCUIT_OPEN:
        return at_once ? circuit_open(health, word, why, now_ms, retry_after_ms) : HEALTH_SAME;
    case CIRCUIT_CLOSED:
        break;
    }
    history = history_add(health, true);
    if (!at_once && (uint32_t)__builtin_popcount(history) < rules[why].needed)
        return HEALTH_SAME;
    return circuit_open(health, word, why, now_ms, retry_after_ms);
}

void
health_dropped(struct health *health, enum health_pass pass, uint64_t now_ms)
{
    uint64_t word = circuit_load(health);
    struct circuit c = circuit_of(word);

    if (pass != HEALTH_TRIAL || c.state != CIRCUIT_TRIAL)
        return;
    c.state = CIRCUIT_OPEN;
    c.table_idx = c.incarnation = 0;
    c.time_ms = now_ms;
    (void)circuit_swap(health, word, &c);
}

static uint32_t
incarnation_of(const struct region *region, uint32_t table_idx)
{
    return atomic_load_explicit(&region->header->table[table_idx].incarnation,
                                memory_order_relaxed) & 255;
}

/* Is who has the ticket still there, and may have it still? */
static bool
ticket_holds(const struct region *region, const struct circuit *c, uint64_t now_ms)
{
    const struct region_table *table = &region->header->table[c->table_idx];

    return now_ms < c->time_ms &&
           atomic_load_explicit(&table->state, memory_order_relaxed) == TABLE_LIVE &&
           incarnation_of(region, c->table_idx) == c->incarnation;
}

bool
health_usable(const struct region *region, const struct health *health, uint64_t now_ms)
{
    struct circuit c = circuit_of(circuit_load(health));

    switch (c.state) {
    case CIRCUIT_CLOSED:
        break;
    case CIRCUIT_OPEN:
        return now_ms >= c.time_ms;
    case CIRCUIT_TRIAL:
        return !ticket_holds(region, &c, now_ms);
    }
    return true;
}

enum health_pass
health_begin(const struct region *region, struct health *health, uint32_t table_idx,
             uint64_t now_ms, uint64_t ticket_ms)
{
    uint64_t word = circuit_load(health);
    struct circuit c = circuit_of(word);

    if (c.state == CIRCUIT_CLOSED)
        return HEALTH_GO;
    if (c.state == CIRCUIT_OPEN && now_ms < c.time_ms)
        return HEALTH_OUT;
    if (c.state == CIRCUIT_TRIAL && ticket_holds(region, &c, now_ms))
        return HEALTH_OUT;
    c.state = CIRCUIT_TRIAL;
    c.table_idx = table_idx;
    c.incarnation = incarnation_of(region, table_idx);
    c.time_ms = now_ms + ticket_ms;
    return circuit_swap(health, word, &c) ? HEALTH_TRIAL : HEALTH_OUT;
}

bool
health_probe_due(struct health *health, uint64_t now_ms, uint64_t interval_ms)
{
    uint64_t due_ms = atomic_load_explicit(&health->probe_at_ms, memory_order_relaxed);

    /* Also after a change of the interval in routes.conf. */
    if (now_ms < due_ms && due_ms - now_ms <= interval_ms)
        return false;
    return atomic_compare_exchange_strong_explicit(&health->probe_at_ms, &due_ms,
                                                   now_ms + interval_ms, memory_order_relaxed,
                                                   memory_order_relaxed);
}

void
health_look(const struct health *health, uint64_t now_ms, struct health_view *out)
{
    struct circuit c = circuit_of(circuit_load(health));

    *out = (struct health_view){.state = HEALTH_STATE_CLOSED, .why = c.why};
    if (c.state == CIRCUIT_CLOSED)
        return;
    out->openings = c.doublings;
    out->trial = c.state == CIRCUIT_TRIAL;
    out->state = out->trial || now_ms >= c.time_ms ? HEALTH_STATE_HALF_OPEN : HEALTH_STATE_OPEN;
    if (!out->trial)
        out->until_ms = c.time_ms;
}

/* ---- calls under way ---- */

static _Atomic uint32_t *
loads_of(const struct region *region, uint32_t table_idx)
{
    struct table_parts parts;

    return region_table_parts(region, table_idx, &parts) ? parts.loads : NULL;
}

void
health_loads_clear(struct region *region, uint32_t table_idx)
{
    _Atomic uint32_t *loads = loads_of(region, table_idx);

    for (uint32_t i = 0; loads != NULL && i < region->header->geometry.health_max; i++) {
        struct health *line = &((struct health *)region_part(region, REGION_HEALTH))[i];

        atomic_store_explicit(&loads[i], 0, memory_order_relaxed);
        if (atomic_load_explicit(&line->waiting, memory_order_relaxed) != 0)
            health_wait(line, table_idx, false);
    }
}

uint32_t
health_load(const struct region *region, const struct health *health)
{
    uint32_t line_idx = health_line_idx(region, health), load = 0;

    for (uint32_t i = 0; i < region->header->geometry.table_max; i++) {
        const struct region_table *table = &region->header->table[i];
        const _Atomic uint32_t *loads;

        if (atomic_load_explicit(&table->state, memory_order_relaxed) != TABLE_LIVE)
            continue;
        loads = loads_of(region, i);
        if (loads != NULL)
            load += atomic_load_explicit(&loads[line_idx], memory_order_relaxed);
    }
    return load;
}

bool
health_enter(struct region *region, uint32_t table_idx, const struct health *health, uint32_t max)
{
    _Atomic uint32_t *load = &loads_of(region, table_idx)[health_line_idx(region, health)];
    uint32_t mine = atomic_load_explicit(load, memory_order_relaxed);

    atomic_store_explicit(load, mine + 1, memory_order_relaxed);
    if (max == 0)
        return true;
    /* Between our store and our look at the others' words, as in theirs: of two that come at once, at
     * least one sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (health_load(region, health) <= max)
        return true;
    atomic_store_explicit(load, mine, memory_order_relaxed);
    return false;
}

void
health_leave(struct region *region, uint32_t table_idx, const struct health *health)
{
    _Atomic uint32_t *load = &loads_of(region, table_idx)[health_line_idx(region, health)];
    uint32_t mine = atomic_load_explicit(load, memory_order_relaxed);

    ASSERT(mine > 0);
    atomic_store_explicit(load, mine - 1, memory_order_relaxed);
}

/* ---- calls that wait ---- */

void
health_wait(struct health *health, uint32_t table_idx, bool waiting)
{
    uint64_t bit = UINT64_C(1) << table_idx;

    if (waiting)
        atomic_fetch_or_explicit(&health->waiting, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&health->waiting, ~bit, memory_order_relaxed);
}

uint32_t
health_others_waiting(const struct region *region, const struct health *health, uint32_t table_idx)
{
    uint64_t waiting = atomic_load_explicit(&health->waiting, memory_order_relaxed) &
                       ~(UINT64_C(1) << table_idx);
    uint32_t count = 0;

    for (; waiting != 0; waiting &= waiting - 1) {
        uint32_t other = (uint32_t)__builtin_ctzll(waiting);

        /* A worker that died leaves its bit. */
        count += other < region->header->geometry.table_max &&
                 atomic_load_explicit(&region->header->table[other].state,
                                      memory_order_relaxed) == TABLE_LIVE;
    }
    return count;
}
