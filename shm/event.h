/*
 * A call that is over, as those are told who watch: the access log, `turnpike tail`, telemetry. Metadata
 * only, of a fixed size; names are ids of the region. Made by the ledger process (ledger/feed.h).
 */
#ifndef SHM_EVENT_H
#define SHM_EVENT_H

#include "base/base.h"
#include "shm/record.h"
#include "shm/refusal.h"

struct call_event {
    uint64_t seq; /* of the feed it is from; from 1 */
    uint8_t call_id[16];
    int64_t start_wall_us;
    uint64_t first_byte_us, end_us, queue_us; /* after the start; 0 unknown */
    int64_t charge_ucr, uncollected_ucr;
    uint32_t tenant_id, key_id;        /* 0: unknown */
    uint32_t count[RECORD_CLASS_COUNT]; /* what it used, by class */
    uint32_t flags;                     /* enum record_flag */
    uint16_t asked, model, channel, upstream; /* name ids; 0 none */
    uint16_t status;                    /* what the client got; 0: its worker died */
    uint8_t protocol, endpoint;         /* of proto/; REFUSAL_NO_ENDPOINT */
    uint8_t outcome;                    /* enum record_outcome; of no meaning when refused */
    bool refused;                       /* before it had a hold: there is no record of it */
    uint8_t attempt_count;
    uint8_t trace_id[16], trace_parent[8]; /* with RECORD_TRACE_PARENT */
    char model_reported[RECORD_MODEL_BYTES];
    struct record_attempt attempt[RECORD_ATTEMPTS_MAX];
};

/* Several of them in one message, from the ledger process to telemetry's. */
#define EVENT_BATCH_MAX 32u
struct event_batch {
    uint64_t missed;      /* before these: lost since nobody took them */
    uint32_t count;
    uint32_t event_bytes; /* one of them: another version's is not understood */
    struct call_event event[EVENT_BATCH_MAX];
};

/* Something went wrong with it, whoever was at fault. */
static inline bool
call_event_failed(const struct call_event *event)
{
    return event->refused || event->status >= 400 || event->status == 0 ||
           (event->outcome != OUTCOME_OK && event->outcome != OUTCOME_NO_USAGE);
}

static inline uint64_t
call_event_tokens_in(const struct call_event *event)
{
    const uint32_t *n = event->count;

    return (uint64_t)n[RECORD_INPUT] + n[RECORD_CACHE_READ] + n[RECORD_CACHE_WRITE_5M] +
           n[RECORD_CACHE_WRITE_1H] + n[RECORD_AUDIO_INPUT] + n[RECORD_IMAGE_INPUT];
}

#endif
