/*
 * What workers learned of upstreams, shared so that what one of them met spares the others: a line
 * for each credential of each upstream, found by the upstream's name id and the credential's number.
 * Figures are hints, not truth: races may lose an update. The circuit is one word, and changes only by
 * compare-and-swap.
 *
 * The circuit is closed, open until some moment, or on trial. It opens when enough of the last
 * HEALTH_WINDOW attempts have failed; how many, and for how long, is a matter of the class of the
 * failure that tips it (health.c has the table). When the time is over it is half open: whoever
 * begins first gets the trial, a ticket that only one attempt on the whole machine has. The ticket
 * ends with its attempt's outcome, with the death of its holder's worker, or when the time that its
 * holder asked for is over.
 *
 * Times are milliseconds of the monotonic clock.
 */
#ifndef SHM_HEALTH_H
#define SHM_HEALTH_H

#include <stdatomic.h>

#include "base/base.h"
#include "shm/region.h"

#define HEALTH_WINDOW 10u                /* attempts that the circuit looks back on */
#define HEALTH_RETRY_AFTER_MS_MAX 600000u /* what an upstream can ask for at most */

/* What speaks against an upstream. */
enum health_class {
    HEALTH_AUTH = 0, /* 401, 402, no quota left: the credential is refused, or cannot pay */
    HEALTH_DENIED,   /* 403: refused; perhaps only for what was asked */
    HEALTH_RATE,     /* 429 */
    HEALTH_OVERLOAD, /* 503, 529 */
    HEALTH_SERVER,   /* another 5xx, or a redirect */
    HEALTH_TIMEOUT,  /* no connection, no first byte or nothing more in time */
    HEALTH_RESET,    /* cannot be reached, or broke off */
    HEALTH_EMPTY,    /* an answer with nothing in it */
    HEALTH_ERROR,    /* an error inside a 200 */
    HEALTH_GARBAGE,  /* an answer that cannot be understood */
    HEALTH_MISMATCH, /* it answered with another model */
    HEALTH_CLASS_COUNT
};
extern const char *const health_class_name[HEALTH_CLASS_COUNT]; /* "auth", … */

/* Written by all workers, read by everybody; nothing here publishes anything else, so all is
 * relaxed. Read by every call and rarely written; written by every call; and the rest: on lines of
 * their own. */
struct health {
    _Alignas(CACHE_LINE) _Atomic uint64_t circuit; /* see health.c */
    _Atomic uint32_t key;     /* name id and credential; 0: nobody's line */
    _Atomic uint32_t history; /* a bit an attempt, the last one lowest; 1: failed */
    /* The newest set of workers that has this upstream in its routes.conf. */
    _Atomic uint32_t generation;
    _Atomic uint32_t secret_mark;     /* another secret under the same name starts anew */
    _Atomic uint32_t credential_name; /* name id, 0: it has none of its own */
    _Atomic uint32_t disabled;        /* 1: its secret cannot be read */
    _Atomic uint64_t changed_ms;      /* when the circuit opened or closed; 0 never */
    _Atomic uint64_t probe_at_ms;     /* when the next active probe is due */

    _Alignas(CACHE_LINE) _Atomic uint64_t calls; /* attempts that came to an outcome, in all */
    _Atomic uint32_t first_byte_us;              /* moving average (1/8); 0 unknown */
    _Atomic uint32_t us_per_token;               /* of output, likewise */
    _Atomic uint32_t error_ppm;                  /* failed attempts, likewise */
    _Atomic uint64_t measured_ms;                /* when first_byte_us was last added to */

    _Alignas(CACHE_LINE) _Atomic uint64_t rpm_tat; /* the provider's own limits: shm/rate.h */
    _Atomic uint64_t tpm_tat;
    _Atomic uint64_t waiting; /* a bit a table: its worker has calls that wait for room here */

    _Alignas(CACHE_LINE) _Atomic uint32_t failed[HEALTH_CLASS_COUNT]; /* in all */
    _Atomic uint32_t probes;
    _Atomic uint64_t failed_ms; /* the last failure; 0 never */
};

/* The line of a credential of an upstream; made when new. NULL when the part is full. */
struct health *health_at(struct region *region, uint16_t name_id, uint8_t credential);
/* Lines by number, 0 … health_max - 1, to look at all of them. NULL for a line that nobody has. */
struct health *health_line(const struct region *region, uint32_t line_idx);
uint32_t health_line_idx(const struct region *region, const struct health *health);
uint16_t health_name_id(const struct health *health);
uint8_t health_credential(const struct health *health);
/* A worker says what it knows of the line as it starts. The mark stands for the secret (never a part
 * of it): when it is another than before, the circuit closes. */
void health_introduce(struct health *health, uint32_t generation, uint16_t credential_name,
                      uint32_t secret_mark, bool disabled);
/* Does the routes.conf in charge (or one that is about to be) have it? */
bool health_is_named(const struct region *region, const struct health *health);
/*
 * Is it still about the secret of that mark? A worker that drains may go by an older one, of which
 * nothing follows for the line: the provider may have ended it.
 */
bool health_is_of_secret(const struct health *health, uint32_t secret_mark);

/* ---- an attempt ---- */

enum health_pass {
    HEALTH_OUT = 0, /* the circuit is open, or on another's trial: not this one */
    HEALTH_GO,      /* it is closed */
    HEALTH_TRIAL,   /* this attempt has the trial, and owes health its outcome */
};

enum health_change { HEALTH_SAME = 0, HEALTH_OPENED, HEALTH_REOPENED, HEALTH_CLOSED };

/* As an attempt starts, by the worker of table_idx. ticket_ms: the longest that its outcome can be
 * away. */
enum health_pass health_begin(const struct region *region, struct health *health,
                              uint32_t table_idx, uint64_t now_ms, uint64_t ticket_ms) MUST_CHECK;
/* What is known of an upstream grows old: after so long without a measurement the next one counts for
 * as much as all before, and who decides by these figures should not. */
#define HEALTH_OLD_MS 60000u
/* What became of it; each attempt calls one of the three. first_byte_us 0: it has no say in that. */
enum health_change health_ok(struct health *health, enum health_pass pass, uint64_t now_ms,
                             uint32_t first_byte_us);
/* retry_after_ms: what the upstream asked for; 0 nothing. */
enum health_change health_failed(struct health *health, enum health_pass pass,
                                 enum health_class why, uint64_t now_ms, uint64_t retry_after_ms);
/* It says nothing of the upstream: the client went away, or its request was at fault. */
void health_dropped(struct health *health, enum health_pass pass, uint64_t now_ms);
/* What a token of output took, of an attempt that went well. */
void health_token_time(struct health *health, uint32_t us_per_token);

/* False while the circuit is open or on trial. For planning: changes nothing. */
bool health_usable(const struct region *region, const struct health *health, uint64_t now_ms);
/* Takes the active probe that is due, and sets the next one: true for one caller of all. */
bool health_probe_due(struct health *health, uint64_t now_ms, uint64_t interval_ms) MUST_CHECK;

/* ---- calls under way ---- */

/*
 * Each worker counts its own in its own table, one number a line, and a line's load is the sum over
 * the tables of living workers: what a killed worker had under way is gone with its table, and needs
 * no correction.
 */
void health_loads_clear(struct region *region, uint32_t table_idx); /* as a worker starts */
/* False, and nothing counted, when max calls are under way already; max 0: no limit. Two that come at
 * the same moment for the last place may both be refused. */
bool health_enter(struct region *region, uint32_t table_idx, const struct health *health,
                  uint32_t max) MUST_CHECK;
void health_leave(struct region *region, uint32_t table_idx, const struct health *health);
uint32_t health_load(const struct region *region, const struct health *health);

/*
 * A worker says that calls of its own wait for room here, or wait no more. Others then do not go past
 * them: what is free is for whoever looks next, and all look equally often.
 */
void health_wait(struct health *health, uint32_t table_idx, bool waiting);
/* How many other workers, of those that live, have calls that wait here. */
uint32_t health_others_waiting(const struct region *region, const struct health *health,
                               uint32_t table_idx);

/* ---- to look at ---- */

enum health_state { HEALTH_STATE_CLOSED = 0, HEALTH_STATE_OPEN, HEALTH_STATE_HALF_OPEN,
                    HEALTH_STATE_COUNT };
extern const char *const health_state_name[HEALTH_STATE_COUNT]; /* "closed", … */

struct health_view {
    enum health_state state;
    enum health_class why; /* of the failure that opened it; unless closed */
    uint64_t until_ms;     /* of an open one: when it is half open */
    uint32_t openings;     /* in a row, the first not counted */
    bool trial;            /* somebody has it */
};
void health_look(const struct health *health, uint64_t now_ms, struct health_view *out);

#endif
