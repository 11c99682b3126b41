/*
 * The meter of one stream: looks at each event as it flows by and says whether it passes,
 * what was used, and whether the stream has come to its proper end. Constant memory.
 *
 * Content events are never parsed: a search for the few member names that matter decides
 * whether to look closer. Only the events up to the first content, reports of usage, ends and
 * errors are read.
 *
 * What the caller does:
 *  - sends the 200 and what passed once meter.answered is set, or its patience is over, and never
 *    before meter.understood: until then another upstream can still be tried. What comes before
 *    the latter (pings, comments) is HIDE.
 *  - PASS: event.raw goes to the client. HIDE: it does not. END: it does, and the stream is
 *    over; what the upstream says after it is dropped.
 *  - UPSTREAM_ERROR: raw does not pass; error_from_object(event.data) and, if the 200 was
 *    sent, error_write_event(), else a plain error answer or the next upstream.
 *  - BAD: the event is not what the protocol allows; an upstream failure.
 *  - at the stream's end without END: meter_finish(); at any end: meter_content().
 */
#ifndef PROTO_METER_H
#define PROTO_METER_H

#include "base/base.h"
#include "proto/content.h"
#include "proto/proto.h"
#include "proto/sse.h"
#include "proto/usage.h"

enum meter_verdict {
    METER_PASS = 0,
    METER_HIDE,
    METER_END,
    METER_UPSTREAM_ERROR,
    METER_BAD,
    METER_VERDICT_COUNT
};

#define METER_MODEL_CAP 128
#define METER_SERVICE_CAP 32

struct meter {
    enum proto_endpoint endpoint;
    bool usage_asked;     /* by the client: then the usage chunk passes */
    bool understood;      /* the first event was what it should be */
    bool answered;        /* the answer has begun: there was content */
    uint8_t end;          /* enum content: how it said to be complete, while not answered */
    bool ended;           /* the end mark passed */
    bool finish_seen;     /* chat, completions: some choice has its finish_reason */
    bool failed;          /* Responses ended by response.failed */
    bool usage_bad;       /* the last report was unusable */
    uint32_t event_count; /* events with data, but for pings: a rise is progress */
    uint32_t output_event_count;
    uint32_t image_count; /* pictures that came whole */
    uint32_t smallest_event_len;    /* of the content events; 0 before the first */
    union {
        struct usage usage;             /* of all but Anthropic: the last usable report */
        struct usage_anthropic partial; /* Anthropic: reports so far */
    };
    char model[METER_MODEL_CAP];     /* as reported last; "" when not */
    char service[METER_SERVICE_CAP]; /* service tier, as reported last; "" when not */
    uint64_t output_estimate;        /* tokens, by size of the content events */
    uint64_t sequence_next;          /* Responses: number of the next event */
};
_Static_assert(sizeof(struct meter) <= 272, "each stream has one");

void meter_init(struct meter *meter, enum proto_endpoint endpoint, bool usage_asked);

enum meter_verdict meter_event(struct meter *meter, struct sse_event *event);
/* In place of events, of an answer that is bytes: some came, and no more will. */
void meter_bytes(struct meter *meter);
void meter_bytes_end(struct meter *meter);

/* The end mark was missing when the upstream's body ended cleanly. */
enum meter_finish {
    METER_FINISH_CLEAN = 0, /* ended: nothing to do */
    METER_FINISH_ADD_MARK,  /* complete but for the mark: send error_stream_end_mark() */
    METER_FINISH_CUT,       /* cut: send an error event */
};
enum meter_finish meter_finish(const struct meter *meter);

/* Whether there was anything in a stream that is over. */
enum content meter_content(const struct meter *meter);

/* The usage to charge by, valid once the stream is over: PRESENT and ZERO only when complete. */
struct usage meter_usage(const struct meter *meter);

/*
 * What was used up to now, for progress: reported counts where the stream gave some, and
 * for output the larger of the report and the estimate. has_input is false while no input
 * was reported.
 */
struct meter_progress {
    bool has_input;
    struct usage usage; /* state PRESENT */
};
struct meter_progress meter_progress(const struct meter *meter);

#endif
