/* The event splitter: any slicing of a stream gives the same events, and events hold the stream's
 * bytes in order. The first byte seeds the slicing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define EVENT_LEN_MAX 512

struct seen {
    struct buf events, raw;
    int rc;
};

static void
note(struct seen *seen, const struct sse_event *event)
{
    buf_add_str(&seen->events, event->name);
    buf_add_char(&seen->events, event->comment_only ? '#' : '=');
    buf_add_str(&seen->events, event->data);
    buf_add_char(&seen->events, event->unterminated ? '!' : ';');
    buf_add_str(&seen->raw, event->raw);
}

/* step 0: all in one feed. Each feed is a copy of its own, so that a stale pointer is found. */
static struct seen
split(struct str stream, unsigned seed, size_t step_max)
{
    struct seen seen = {.rc = 0};
    struct sse_event event;
    struct sse sse;

    buf_init(&seen.events, 1 << 24);
    buf_init(&seen.raw, 1 << 24);
    sse_init(&sse, EVENT_LEN_MAX);
    for (size_t at = 0; at < stream.len && seen.rc >= 0;) {
        size_t step = step_max == 0 ? stream.len : 1 + (size_t)rand_r(&seed) % step_max;
        char *feed;

        step = MIN(step, stream.len - at);
        feed = malloc(step);
        memcpy(feed, stream.ptr + at, step);
        sse_feed(&sse, (struct str){feed, step});
        while ((seen.rc = sse_next(&sse, &event)) == 1)
            note(&seen, &event);
        if (seen.rc == 0)
            seen.rc = sse_keep(&sse);
        free(feed);
        at += step;
    }
    if (seen.rc == 0 && sse_last(&sse, &event))
        note(&seen, &event);
    sse_free(&sse);
    return seen;
}

static void
seen_free(struct seen *seen)
{
    buf_free(&seen->events);
    buf_free(&seen->raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const size_t steps[] = {1, 2, 5, 64};
    struct str stream;

    if (len < 1)
        return 0;
    stream = (struct str){(const char *)bytes + 1, len - 1};
    struct seen whole = split(stream, 0, 0);
    if (whole.rc == 0)
        ASSERT(str_starts_with(stream, buf_str(&whole.raw)));
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct seen sliced = split(stream, bytes[0], steps[i]);

        ASSERT(sliced.rc == whole.rc);
        ASSERT(str_eq(buf_str(&sliced.events), buf_str(&whole.events)));
        ASSERT(str_eq(buf_str(&sliced.raw), buf_str(&whole.raw)));
        seen_free(&sliced);
    }
    seen_free(&whole);
    return 0;
}
