/*
 * What a call leaves behind: all that the usage record, the receipt and the trace need, in a
 * fixed size, in the cold half of its hold slot. Written by the worker while the slot is CLAIM or
 * HELD; read by the ledger process once it is SETTLED (or its worker dead). Metadata
 * only: never content. Not money: what is charged stands in the hot half (shm/hold.h).
 */
#ifndef SHM_RECORD_H
#define SHM_RECORD_H

#include <stdatomic.h>

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
    REASON_COUNT
};
extern const char *const record_reason_name[];

enum record_flag {
    RECORD_STREAM = 1u << 0,
    RECORD_USAGE_ZERO_OUTPUT = 1u << 1, /* usage said zero though output was relayed */
    RECORD_USAGE_FAR_BELOW = 1u << 2,   /* of what was relayed */
    RECORD_USAGE_OVER_HOLD = 1u << 3,   /* uncollected_ucr says how much */
    RECORD_EXTENSION = 1u << 4,         /* a second slot of the call: only its charge counts */
    RECORD_EXTENDED = 1u << 5,          /* the first slot of a call that has such */
    RECORD_INFLIGHT = 1u << 6,          /* counted in the key's inflight */
    RECORD_USAGE_ESTIMATED = 1u << 7,
    RECORD_SWEPT = 1u << 8, /* set by the ledger: its worker died */
};

struct record_attempt {
    uint16_t upstream; /* name id */
    uint16_t status;   /* HTTP, 0 none */
    uint8_t reason;    /* enum record_reason */
    uint8_t pad[3];
    uint32_t start_ms; /* after the call's start */
    uint32_t took_ms;  /* to its failure, or to its first byte */
};

struct record {
    uint8_t call_id[16];
    uint32_t tenant_id, key_id, member_id, project_id;
    uint32_t key_idx, key_generation;          /* slot in the region, for inflight */
    uint16_t model, channel, upstream, family; /* name ids; upstream: the one that answered */
    uint8_t protocol, endpoint;                /* of proto/ */
    uint8_t outcome;                           /* enum record_outcome */
    uint8_t attempt_count;
    uint32_t flags;       /* enum record_flag */
    uint16_t http_status; /* what the client got */
    uint16_t pad0;
    _Atomic uint32_t announced; /* ledger; release: this hold is durable (hold_announced()) */
    uint64_t price_version;
    int64_t start_wall_us;
    uint64_t first_byte_us, end_us; /* after the start; 0 unknown */
    uint32_t input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens;
    uint32_t output_tokens, reasoning_tokens; /* reasoning is within output */
    uint32_t request_bytes, response_bytes;
    /* Over all slots of the call, for display. Until it is settled: what its input alone costs, which
     * is kept with a hold that is made durable. */
    int64_t total_charge_ucr;
    int64_t uncollected_ucr;
    struct record_attempt attempt[RECORD_ATTEMPTS_MAX];
    char model_reported[RECORD_MODEL_BYTES]; /* NUL-padded */
};
_Static_assert(sizeof(struct record) % 8 == 0, "no hidden tail");

#endif
