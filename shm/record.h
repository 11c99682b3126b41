/*
 * What a call leaves behind: all that the usage record, the receipt and the trace need, in a
 * fixed size, in the cold half of its hold slot. Written by the worker while the slot is CLAIM or
 * HELD; read by the ledger process once it is SETTLED (or its worker dead). Metadata
 * only: never content. Not money: what is charged stands in the hot half (shm/hold.h).
 */
#ifndef SHM_RECORD_H
#define SHM_RECORD_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/base.h"

#define RECORD_ATTEMPTS_MAX 6
#define RECORD_MODEL_BYTES 48

enum record_outcome {
    OUTCOME_UNKNOWN = 0, /* its worker died */
    OUTCOME_OK,          /* complete, usage present */
    OUTCOME_NO_USAGE,    /* complete, usage absent or unusable: charged by progress */
    OUTCOME_CLIENT_GONE,
    OUTCOME_CUT,            /* upstream ended without its end mark, reset, or idle too long */
    OUTCOME_UPSTREAM_ERROR, /* failed before output, all attempts used */
    OUTCOME_HOLD_ENDED,     /* stopped: progress reached the hold and it could not be extended */
    OUTCOME_CANCELLED,      /* ours: draining, internal limits */
    OUTCOME_COUNT
};
extern const char *const record_outcome_name[];

/* Why an attempt ended. */
enum record_reason {
    REASON_NONE = 0, /* it answered */
    REASON_CONNECT,
    REASON_DNS,
    REASON_ADDRESS, /* dial rule */
    REASON_TLS,
    REASON_RESET,
    REASON_TIMEOUT_CONNECT,
    REASON_TIMEOUT_FIRST_BYTE,
    REASON_TIMEOUT_IDLE,
    REASON_TIMEOUT_TOTAL,
    REASON_STATUS, /* an HTTP status that is tried elsewhere */
    REASON_BAD_HTTP,
    REASON_BAD_ANSWER,
    REASON_TOO_LARGE,
    REASON_EARLY_END,
    REASON_ERROR_EVENT,
    REASON_CLIENT_GONE,
    REASON_NO_CONNECTION, /* at max-connections */
    REASON_EMPTY,          /* an answer with nothing in it */
    REASON_MODEL_MISMATCH, /* another model answered */
    REASON_AT_LIMIT,       /* not tried: at its provider's limits */
    REASON_COUNT
};
extern const char *const record_reason_name[];

/*
 * What is counted, and priced each at its own rate. The classes do not overlap: reasoning, audio
 * and images are not within output, cached tokens not within input. The same order as enum
 * conf_class, which this room may not know; worker/settle.c compares them.
 */
enum record_class {
    RECORD_INPUT = 0,
    RECORD_CACHE_READ,
    RECORD_CACHE_WRITE_5M,
    RECORD_CACHE_WRITE_1H,
    RECORD_AUDIO_INPUT,
    RECORD_IMAGE_INPUT,
    RECORD_OUTPUT,
    RECORD_REASONING,
    RECORD_AUDIO_OUTPUT,
    RECORD_IMAGE_OUTPUT,
    RECORD_TOKEN_CLASS_COUNT,                 /* those before it are tokens */
    RECORD_IMAGES = RECORD_TOKEN_CLASS_COUNT, /* pictures made */
    RECORD_SECONDS,                           /* of sound */
    RECORD_CHARACTERS,                        /* of text to be spoken */
    RECORD_REQUESTS,                          /* 1 for a call that was answered */
    RECORD_SEARCHES,                          /* of the web, by the provider's own tool */
    RECORD_CLASS_COUNT
};
extern const char *const record_class_name[];

/* What a charge was computed from. */
enum record_basis {
    BASIS_NOTHING = 0, /* the charge is 0 */
    BASIS_USAGE,       /* what the upstream reported */
    BASIS_PROGRESS,    /* what flowed by, as far as it was measured */
    BASIS_HOLD,        /* all that was held, by the rule for power cuts */
    BASIS_SWEPT,       /* progress when its worker died */
    BASIS_COUNT
};
extern const char *const record_basis_name[];

enum record_flag {
    RECORD_STREAM = 1u << 0,
    RECORD_USAGE_ZERO_OUTPUT = 1u << 1, /* usage said zero though output was relayed */
    RECORD_USAGE_FAR_BELOW = 1u << 2,   /* of what was relayed */
    RECORD_USAGE_OVER_HOLD = 1u << 3,   /* uncollected_ucr says how much */
    RECORD_EXTENSION = 1u << 4,         /* a second slot of the call: only its charge counts */
    RECORD_EXTENDED = 1u << 5,          /* the first slot of a call that has such */
    RECORD_INFLIGHT = 1u << 6,          /* counted in the key's inflight */
    RECORD_USAGE_ESTIMATED = 1u << 7,
    RECORD_SWEPT = 1u << 8,          /* set by the ledger: its worker died */
    RECORD_MODEL_MISMATCH = 1u << 9, /* the upstream reported another model */
    RECORD_USAGE_ABSURD = 1u << 10,  /* more than can be, or does not add up: not believed */
    RECORD_SIBLING = 1u << 11,       /* served by another model of the family */
    /* Served by a service tier that is not priced: at the standard price. */
    RECORD_SERVICE_UNKNOWN = 1u << 12,
    /* More output than the cap allows, or more input than the request can hold; reported_* say what. */
    RECORD_USAGE_OVER_CAP = 1u << 13,
    /* It reported searches, images, seconds or characters, for which the model states no price. */
    RECORD_UNPRICED = 1u << 14,
    /* A limit or budget in shadow mode would have refused it. */
    RECORD_SHADOWED = 1u << 15,
    RECORD_DEAL = 1u << 16, /* set by the ledger: priced by a deal of its tenant's */
    RECORD_PAID = 1u << 17, /* set by the ledger: grants or a plan paid for some of it */
    /* Not kept: of the trace that it is part of. */
    RECORD_TRACED = 1u << 18,       /* its spans are wanted */
    RECORD_TRACE_PARENT = 1u << 19, /* trace_id and trace_parent are the caller's */
    /* Not kept: counted in these quotas' calls in flight, too (record_inflight_of()). */
    RECORD_INFLIGHT_MEMBER = 1u << 20,
    RECORD_INFLIGHT_PROJECT = 1u << 21,
    RECORD_INFLIGHT_TENANT = 1u << 22,
};
#define RECORD_INFLIGHT_ALL                                                                        \
    (RECORD_INFLIGHT | RECORD_INFLIGHT_MEMBER | RECORD_INFLIGHT_PROJECT | RECORD_INFLIGHT_TENANT)

/* By enum budget_kind. */
static inline uint32_t
record_inflight_of(unsigned kind)
{
    return kind == 0 ? (uint32_t)RECORD_INFLIGHT : (uint32_t)RECORD_INFLIGHT_MEMBER << (kind - 1);
}

struct record_attempt {
    uint16_t upstream;  /* name id */
    uint16_t status;    /* HTTP, 0 none */
    uint16_t channel;   /* name id */
    uint16_t model;     /* likewise */
    uint8_t reason;     /* enum record_reason */
    uint8_t credential; /* number within the upstream */
    uint16_t pad;
    uint32_t start_ms;  /* after the call's start */
    uint32_t took_ms;   /* to its failure, or to its first byte */
};

/*
 * Counts and the rates that they are priced at: a slot's progress or charge can be computed again from
 * it. A record has two, used in turn. Before it raises the slot's progress the worker writes the one
 * that does not stand for the present progress, and last what it comes to (tally_cost_ucr), so that
 * after a death the one whose cost equals the slot's progress is whole, whenever it came. Progress 0
 * needs none. What is settled says by itself which one counts (record.tally_idx).
 */
struct record_tally {
    uint32_t count[RECORD_CLASS_COUNT]; /* enum record_class */
    uint16_t model, channel;            /* name ids: whose prices */
    uint8_t tier, service, discount;    /* number in the model's list from 1; 0 none */
    uint8_t pad;
    uint32_t deal_u; /* the part of the channel's multiplier that the tenant pays, in millionths; 0: all of it */
};
#define RECORD_DEAL_MAX_U 1000000000u

/*
 * Each call touches another slot's record, whose lines have long left the caches. So what most calls use
 * lies together, in five lines: the tally that is used first, the fields, the first attempt. Of a new
 * hold only the fields are zero; tallies and attempts are there when a cost and the count say so.
 */
struct record {
    struct record_tally tally[2]; /* the second is used first */
    int64_t tally_cost_ucr[2];    /* of this slot alone: never falls from one tally to the next */
    uint8_t call_id[16];
    uint32_t tenant_id, key_id, member_id, project_id;
    uint32_t key_idx, key_generation;          /* slot in the region, for inflight */
    uint16_t model, channel, upstream, family; /* name ids; upstream: the one that answered */
    uint8_t protocol, endpoint;                /* of proto/ */
    uint8_t outcome;                           /* enum record_outcome */
    uint8_t attempt_count;
    uint32_t flags;       /* enum record_flag */
    uint16_t http_status; /* what the client got */
    uint8_t basis;        /* enum record_basis */
    uint8_t tally_idx;    /* of tally[]: what the charge was computed from, once it is settled */
    _Atomic uint32_t announced; /* ledger; release: this hold is durable (hold_announced()) */
    uint64_t price_version;
    int64_t start_wall_us;
    uint64_t first_byte_us, end_us; /* after the start; 0 unknown */
    uint32_t queue_us;              /* waited for room in the providers' limits; at most what fits */
    uint32_t request_bytes, response_bytes;
    /* As the upstream reported, when that was not believed: tokens in and out, all classes. */
    uint32_t reported_in, reported_out;
    /* Name ids: what the caller wrote for the model when it is not the model's name (an alias, an
     * auto, a suffix); the routing rule that decided. 0 none. */
    uint16_t asked, rule;
    /* Over all slots of the call, for display. Until it is settled: what its input alone costs,
     * which is kept with a hold that is made durable. */
    int64_t total_charge_ucr;
    int64_t uncollected_ucr;
    /* What tries that failed may have cost the operator, at list price times the upstream's cost and one
     * credit per unit of currency: never charged. */
    int64_t operator_ucr;
    /* Of the call's cost, what its earlier slots cover: this one's charge is the next amount_ucr of
     * it. 0 in the first. */
    int64_t before_ucr;
    char model_reported[RECORD_MODEL_BYTES]; /* NUL-padded */
    struct record_attempt attempt[RECORD_ATTEMPTS_MAX];
    uint8_t trace_id[16], trace_parent[8]; /* with RECORD_TRACE_PARENT */
    uint8_t pad_lines[8];
};
/* Of the flags, those that the store keeps. */
#define RECORD_FLAGS_KEPT (RECORD_TRACED - 1)
_Static_assert(sizeof(struct record) == 8 * CACHE_LINE, "whole lines, no hidden tail");
_Static_assert(sizeof(struct record_tally) == 72, "no hidden tail");
/* Where what most calls use begins and ends. */
#define RECORD_WARM_OFF CACHE_LINE
#define RECORD_WARM_END ((size_t)6 * CACHE_LINE)
_Static_assert(offsetof(struct record, tally[1]) >= RECORD_WARM_OFF &&
                   offsetof(struct record, attempt[1]) <= RECORD_WARM_END,
               "five lines");

/* The tokens that came out, of all kinds. */
static inline uint64_t
record_tokens_out(const uint32_t count[RECORD_CLASS_COUNT])
{
    return (uint64_t)count[RECORD_OUTPUT] + count[RECORD_REASONING] + count[RECORD_AUDIO_OUTPUT] +
           count[RECORD_IMAGE_OUTPUT];
}

/* The tally behind a progress; NULL when there is none, or nothing was spent. */
static inline const struct record_tally *
record_tally_of(const struct record *record, int64_t progress_ucr)
{
    for (unsigned i = 0; progress_ucr > 0 && i < COUNT_OF(record->tally); i++)
        if (record->tally_cost_ucr[i] == progress_ucr)
            return &record->tally[i];
    return NULL;
}

#endif
