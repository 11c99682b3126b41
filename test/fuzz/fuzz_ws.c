/* Frames of a WebSocket: any slicing of the bytes gives the same events and passes the same
 * bytes, all of it whole good frames, and what is written is read as it was. The first byte
 * seeds the slicing, the second says whose frames they are. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MESSAGE_MAX 600

struct seen {
    struct buf events, passed;
    unsigned fault;
    bool in_frame, in_message;
};

static void
note(struct seen *seen, const struct ws *ws, enum ws_event event)
{
    char piece[4096];

    if (event == WS_PAYLOAD) {
        ASSERT(ws->piece.len > 0 && ws->piece.len <= MESSAGE_MAX);
        ws_unmask(ws, ws->piece.len, piece);
        buf_add(&seen->events, piece, ws->piece.len);
    } else if (event == WS_MESSAGE) {
        ASSERT(ws->message_len <= MESSAGE_MAX);
        buf_add_fmt(&seen->events, "|%u %llu;", ws->opcode, (unsigned long long)ws->message_len);
    } else if (event == WS_CONTROL) {
        ASSERT(ws->opcode >= WS_CLOSE && ws->control_len <= WS_CONTROL_MAX);
        buf_add_fmt(&seen->events, "<%u:", ws->opcode);
        buf_add(&seen->events, ws->control, ws->control_len);
    }
}

/* step 0: all in one feed. Each feed is a copy of its own, so that a stale pointer is found. */
static struct seen
read_all(struct str stream, bool masked, unsigned seed, size_t step_max)
{
    struct seen seen = {.fault = 0};
    struct ws ws;

    buf_init(&seen.events, 1 << 24);
    buf_init(&seen.passed, 1 << 24);
    ws_init(&ws, masked, MESSAGE_MAX);
    for (size_t from = 0; from < stream.len && ws.fault == 0;) {
        size_t step = step_max == 0 ? stream.len : 1 + (size_t)rand_r(&seed) % step_max;
        size_t before_len = ws_kept(&ws), at = 0, used;
        uint8_t before[WS_KEPT_MAX], *feed;
        enum ws_event event;

        step = MIN(step, stream.len - from);
        feed = malloc(step);
        memcpy(feed, stream.ptr + from, step);
        memcpy(before, ws.kept, before_len);
        do {
            event = ws_feed(&ws, feed + at, step - at, &used);
            at += used;
            note(&seen, &ws, event);
        } while (event != WS_NEED && event != WS_FAULT);
        ASSERT(event == WS_FAULT || at == step);
        if (ws_kept(&ws) <= at) {
            buf_add(&seen.passed, before, before_len);
            buf_add(&seen.passed, feed, at - ws_kept(&ws));
        }
        free(feed);
        from += step;
    }
    seen.fault = ws.fault;
    seen.in_frame = ws_in_frame(&ws);
    seen.in_message = ws_in_message(&ws);
    return seen;
}

static void
seen_free(struct seen *seen)
{
    buf_free(&seen->events);
    buf_free(&seen->passed);
}

/* What passed is good by itself, so that whoever reads it next finds no fault. */
static void
passed_is_good(const struct seen *whole, bool masked)
{
    struct seen again = read_all(buf_str(&whole->passed), masked, 0, 0);

    ASSERT(again.fault == 0);
    ASSERT(again.in_frame == whole->in_frame && again.in_message == whole->in_message);
    ASSERT(str_eq(buf_str(&again.passed), buf_str(&whole->passed)));
    ASSERT(str_eq(buf_str(&again.events), buf_str(&whole->events)));
    seen_free(&again);
}

static void
written_is_read(struct str payload, bool masked)
{
    uint8_t *frame = malloc(MESSAGE_MAX + WS_HEAD_MAX);
    const uint8_t mask[4] = {1, 2, 250, 77};
    struct buf want;
    size_t len;

    payload.len = MIN(payload.len, (size_t)MESSAGE_MAX);
    len = ws_frame(frame, WS_TEXT, payload, masked ? mask : NULL);
    struct seen seen = read_all((struct str){(char *)frame, len}, masked, 1, 7);
    buf_init(&want, 1 << 16);
    buf_add_str(&want, payload);
    buf_add_fmt(&want, "|1 %llu;", (unsigned long long)payload.len);
    ASSERT(seen.fault == 0 && str_eq(buf_str(&seen.events), buf_str(&want)));
    buf_free(&want);
    seen_free(&seen);
    free(frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const size_t steps[] = {1, 2, 5, 64};
    struct str stream;
    bool masked;

    if (len < 2)
        return 0;
    masked = bytes[1] & 1;
    stream = (struct str){(const char *)bytes + 2, len - 2};
    struct seen whole = read_all(stream, masked, 0, 0);
    ASSERT(str_starts_with(stream, buf_str(&whole.passed)));
    passed_is_good(&whole, masked);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct seen sliced = read_all(stream, masked, bytes[0], steps[i]);

        ASSERT(sliced.fault == whole.fault);
        ASSERT(str_eq(buf_str(&sliced.events), buf_str(&whole.events)));
        ASSERT(str_eq(buf_str(&sliced.passed), buf_str(&whole.passed)));
        seen_free(&sliced);
    }
    seen_free(&whole);
    written_is_read(stream, masked);
    return 0;
}
