/*
 * Answers as Server-Sent Events: step() frames one event as the faults ask for, stream_continue()
 * sends what one turn may send, at the pace asked for.
 */
#include "mock/sim.h"

#include "base/clock.h"
#include "base/str.h"

#include <string.h>

#define WRITE_MAX ((size_t)32 << 10) /* gathered for one write */
#define TURN_MAX ((size_t)256 << 10) /* sent by one stream before others get their turn */
#define ENDLESS_MAX ((uint64_t)512 << 20)

/* One turn at a time, so one buffer of each does for all streams. */
static struct buf wire, dressed;

static void
event_stamp(void)
{
    if (event.len == 0 || event.ptr[event.len - 1] != '}')
        return;
    event.len--;
    buf_add_fmt(&event, ",\"stamp\":%llu}", (unsigned long long)clock_mono_ns());
}

/* ---- framing ---- */

static void
chunk_head(struct buf *out, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char text[18];
    int i = 16;

    text[16] = '\r';
    text[17] = '\n';
    do {
        text[--i] = hex[len & 15];
        len >>= 4;
    } while (len > 0);
    buf_add(out, text + i, (size_t)(18 - i));
}

void
chunk_write(struct buf *out, struct str bytes)
{
    chunk_head(out, bytes.len);
    buf_add_str(out, bytes);
    buf_add(out, "\r\n", 2);
}

static void
piece_write(struct call *call, struct str bytes)
{
    if (call->framing == FRAME_CHUNKED)
        chunk_write(&wire, bytes);
    else
        buf_add_str(&wire, bytes);
}

/* One element of the array that a stream of Gemini's is when no events were asked for. */
static void
element_write(struct call *call)
{
    if (call->framing == FRAME_CHUNKED)
        chunk_head(&wire, event.len + (call->events == 0 ? 1 : 3));
    buf_add_str(&wire, call->events == 0 ? STR("[") : STR(",\r\n"));
    buf_add(&wire, event.ptr, event.len);
    if (call->framing == FRAME_CHUNKED)
        buf_add(&wire, "\r\n", 2);
}

/* How a line of the stream ends: Gemini's in CRLF, unless it is told otherwise. */
static const char *
line_end(const struct call *call)
{
    const struct faults *f = &call->faults;

    return fault_on(f, F_CR)                                    ? "\r"
           : fault_on(f, F_CRLF) || call->endpoint == EP_GENERATE ? "\r\n"
                                                                : "\n";
}

/* The event as most services write it, straight into the wire's buffer. */
static void
event_write_plain(const struct call *call)
{
    struct str nl = str_from(line_end(call));
    size_t name_len = event_name != NULL ? strlen(event_name) : 0;
    size_t len = 6 + event.len + 2 * nl.len + (name_len > 0 ? 7 + name_len + nl.len : 0);

    if (call->framing == FRAME_CHUNKED)
        chunk_head(&wire, len);
    if (name_len > 0) {
        buf_add(&wire, "event: ", 7);
        buf_add(&wire, event_name, name_len);
        buf_add_str(&wire, nl);
    }
    buf_add(&wire, "data: ", 6);
    buf_add(&wire, event.ptr, event.len);
    buf_add_str(&wire, nl);
    buf_add_str(&wire, nl);
    if (call->framing == FRAME_CHUNKED)
        buf_add(&wire, "\r\n", 2);
}

static void
dress_noise(const struct call *call, const char *nl)
{
    if (fault_on(&call->faults, F_BOM) && call->events == 0)
        buf_add(&dressed, "\xef\xbb\xbf", 3);
    if (fault_on(&call->faults, F_COMMENTS))
        buf_add_fmt(&dressed, ": a comment, data: {\"usage\":1}%s%s:%s", nl, nl, nl);
    if (!fault_on(&call->faults, F_PINGS) || call->events == 0)
        return;
    if (call->endpoint == EP_MESSAGES)
        buf_add_fmt(&dressed, "event: ping%sdata: {\"type\": \"ping\"}%s%s", nl, nl, nl);
    else
        buf_add_fmt(&dressed, ": ping%s%s", nl, nl);
}

/* The event in the clothes that the faults ask for, into `dressed`. */
static void
event_dress(const struct call *call)
{
    const struct faults *f = &call->faults;
    const char *nl = line_end(call);
    const char *colon = fault_on(f, F_NO_SPACE) ? ":" : ": ";
    struct str json = buf_str(&event);

    dressed.len = 0;
    if (call->raw) {
        buf_add_str(&dressed, json);
        return;
    }
    if (call->array) {
        buf_add_fmt(&dressed, "%s%.*s", call->events == 0 ? "[" : ",\r\n", STR_ARGS(json));
        return;
    }
    dress_noise(call, nl);
    if (event_name != NULL)
        buf_add_fmt(&dressed, "event%s%s%s", colon, event_name, nl);
    buf_add_fmt(&dressed, "data%s", colon);
    /* JSON does not mind a line's end behind its first brace; the reader must join the lines. */
    if (fault_on(f, F_MULTI_LINE) && json.len > 1 && json.ptr[0] == '{') {
        buf_add_fmt(&dressed, "{%sdata%s", nl, colon);
        json.ptr++;
        json.len--;
    }
    buf_add_str(&dressed, json);
    buf_add_fmt(&dressed, "%s%s", nl, nl);
}

/* Where to cut so that it hurts: inside the first multibyte character, else in the middle. */
static size_t
split_place(struct str s)
{
    for (size_t i = 0; i + 1 < s.len; i++)
        if ((s.ptr[i] & 0x80) != 0)
            return i + 1;
    return s.len / 2;
}

static void
event_write(struct call *call)
{
    if (fault_on(&call->faults, F_STAMP) && !call->raw)
        event_stamp();
    if (!call->fancy) {
        if (call->raw)
            piece_write(call, buf_str(&event));
        else if (call->array)
            element_write(call);
        else
            event_write_plain(call);
        call->events++;
        return;
    }
    event_dress(call);
    struct str bytes = buf_str(&dressed);
    if (fault_on(&call->faults, F_GZIP)) {
        static struct buf packed;

        if (packed.cap_max == 0)
            buf_init(&packed, SIZE_MAX);
        packed.len = 0;
        if (call->events == 0)
            gzip_begin(&packed);
        gzip_block(call, &packed, bytes);
        piece_write(call, buf_str(&packed));
    } else if (fault_on(&call->faults, F_SPLIT_UTF8)) {
        size_t cut = split_place(bytes);

        buf_add(&call->carry, bytes.ptr, cut);
        piece_write(call, buf_str(&call->carry));
        call->carry.len = 0;
        buf_add(&call->carry, bytes.ptr + cut, bytes.len - cut);
    } else {
        piece_write(call, bytes);
    }
    call->events++;
}

static void
end_write(struct call *call)
{
    if (call->array) /* a gzip of it is left open: nobody reads that */
        buf_add_str(&call->carry, call->events == 0 ? STR("[]") : STR("]"));
    if (call->carry.len > 0)
        piece_write(call, buf_str(&call->carry));
    if (fault_on(&call->faults, F_GZIP)) {
        struct buf tail;

        buf_init(&tail, 64);
        gzip_end(call, &tail);
        piece_write(call, buf_str(&tail));
        buf_free(&tail);
    }
    if (call->framing == FRAME_CHUNKED)
        buf_add(&wire, "0\r\n\r\n", 5);
    if (fault_on(&call->faults, F_EXTRA_BYTES))
        buf_add_str(&wire, STR("data: more than there should be\n\n"));
}

/* ---- steps ---- */

enum step { STEP_ON, STEP_END, STEP_CUT, STEP_STALL, STEP_ENDLESS };

/* The head of a piece that promises all and half of the bytes. */
static void
half_write(struct call *call)
{
    event_dress(call);
    if (call->framing == FRAME_CHUNKED)
        chunk_head(&wire, dressed.len);
    buf_add(&wire, dressed.ptr, dressed.len / 2);
}

static enum step
step(struct call *call)
{
    const struct faults *f = &call->faults;
    uint32_t error_at = fault_on(f, F_ERROR_FIRST) ? 0 : fault_get(f, F_ERROR_MID, UINT32_MAX);

    if (fault_get(f, F_STALL, UINT32_MAX) == call->events)
        return STEP_STALL;
    if (fault_get(f, F_CUT_CLEAN, UINT32_MAX) == call->events) {
        call->incomplete = true;
        end_write(call);
        return STEP_END;
    }
    if (error_at == call->events) {
        call->incomplete = true;
        event_error(call);
        event_write(call);
        end_write(call);
        return STEP_END;
    }
    if (!event_next(call)) {
        end_write(call);
        return STEP_END;
    }
    if (fault_get(f, F_BAD_EVENT, UINT32_MAX) == call->events) {
        event.len = 0;
        buf_add_str(&event, STR("{\"usage\": this is no JSON"));
    }
    bool first_word = call->phase == PHASE_TEXT && call->at == 1;
    if (fault_get(f, F_CUT, UINT32_MAX) == call->events) {
        half_write(call);
        return STEP_CUT;
    }
    if (first_word && fault_on(f, F_ENDLESS_LINE)) {
        event.len /= 2;
        event_dress(call);
        dressed.len -= 2;
        piece_write(call, buf_str(&dressed));
        return STEP_ENDLESS;
    }
    event_write(call);
    return STEP_ON;
}

static bool
is_fancy(const struct faults *f)
{
    return fault_on(f, F_COMMENTS) || fault_on(f, F_PINGS) || fault_on(f, F_CRLF) ||
           fault_on(f, F_CR) || fault_on(f, F_BOM) || fault_on(f, F_MULTI_LINE) ||
           fault_on(f, F_NO_SPACE) || fault_on(f, F_SPLIT_UTF8) || fault_on(f, F_GZIP);
}

static void
framing_choose(struct call *call)
{
    const struct faults *f = &call->faults;

    if (fault_on(f, F_EARLY_END))
        call->framing = FRAME_LENGTH;
    else if (call->http_1_0 || fault_on(f, F_UNTIL_CLOSE) || f->value[F_CHUNKED] == 0)
        call->framing = FRAME_UNTIL_CLOSE;
    else
        call->framing = FRAME_CHUNKED;
    if (call->framing != FRAME_CHUNKED)
        call->keep_alive = false;
}

static void
buffers_init(void)
{
    if (wire.cap_max != 0)
        return;
    buf_init(&wire, SIZE_MAX);
    buf_init(&event, SIZE_MAX);
    buf_init(&dressed, SIZE_MAX);
}

void
stream_begin(struct conn *c)
{
    struct call *call = c->call;

    buffers_init();
    framing_choose(call);
    call->fancy = is_fancy(&call->faults);
    if (fault_on(&call->faults, F_HIDE_REASONING)) {
        call->used.reasoning = (uint64_t)call->reasoning * call->choices;
        call->used.output = call->used.reasoning;
    }
    buf_init(&call->carry, SIZE_MAX);
    call->stage = STAGE_STREAM;
    call->due_us = loop_now_us;
    wire.len = 0;
    head_write(&wire, call, 200,
               call->raw     ? "audio/mpeg"
               : call->array ? "application/json"
                             : "text/event-stream; charset=utf-8",
               1 << 30);
    /* The head goes with the first events, in one write. */
    stream_continue(c);
    wire.len = 0;
}

static uint32_t
gap_ms(const struct call *call)
{
    uint32_t gap = fault_get(&call->faults, F_GAP, 0);

    /* A split is one only when the halves travel apart. */
    return gap == 0 && fault_on(&call->faults, F_SPLIT_UTF8) ? 1 : gap;
}

/* After one turn's worth of a paced stream: when the next is due. A stream that is late keeps its
 * pace, but one that was blocked does not hurry after it. */
static void
pace(struct conn *c, uint32_t gap)
{
    struct call *call = c->call;

    call->due_us += (uint64_t)gap * 1000;
    if (call->due_us + 20000 < loop_now_us)
        call->due_us = loop_now_us;
    timer_set(&c->timer, (call->due_us + 999) / 1000);
}

static void
stream_stop(struct conn *c, enum step why)
{
    struct call *call = c->call;

    switch (why) {
    case STEP_ON: break;
    case STEP_STALL: call->stage = STAGE_STALLED; break;
    case STEP_ENDLESS:
        call->stage = STAGE_ENDLESS;
        conn_ready(c);
        break;
    case STEP_CUT:
        call->incomplete = true;
        call->keep_alive = false;
        conn_close_soon(c, fault_get(&call->faults, F_CUT_HOW, CUT_FIN) == CUT_RST);
        call_sent(c);
        break;
    case STEP_END:
        if (call->framing == FRAME_LENGTH)
            call->incomplete = true;
        call_sent(c);
        break;
    }
}

void
stream_continue(struct conn *c)
{
    struct call *call = c->call;
    uint32_t gap = gap_ms(call);
    uint32_t batch = MAX(fault_get(&call->faults, F_BATCH, 1), 1u);
    size_t sent = 0;

    while (!conn_blocked(c)) {
        if (gap > 0 && call->due_us > loop_now_us) {
            timer_set(&c->timer, (call->due_us + 999) / 1000);
            return;
        }
        enum step result = STEP_ON;
        for (uint32_t i = 0; result == STEP_ON && wire.len < WRITE_MAX; i++) {
            if (gap > 0 && i == batch)
                break;
            result = step(call);
        }
        sent += wire.len;
        conn_send(c, wire.ptr, wire.len);
        wire.len = 0;
        if (wire.cap > (8u << 20)) /* after a huge line */
            buf_free(&wire);
        if (result != STEP_ON) {
            stream_stop(c, result);
            return;
        }
        if (gap > 0) {
            pace(c, gap);
            return;
        }
        if (sent >= TURN_MAX) {
            conn_ready(c);
            return;
        }
    }
}

void
endless_continue(struct conn *c)
{
    static char filler[16384];
    struct call *call = c->call;
    const struct faults *f = &call->faults;

    buffers_init();
    for (int i = 0; i < 4 && !conn_blocked(c); i++) {
        wire.len = 0;
        if (fault_on(f, F_ENDLESS_HEADERS)) {
            for (int k = 0; k < 64; k++)
                buf_add_fmt(&wire, "x-filler-%u: no end in sight, none at all\r\n", call->events++);
        } else if (fault_on(f, F_ENDLESS_1XX)) {
            for (int k = 0; k < 64; k++)
                buf_add_str(&wire, STR("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"));
        } else {
            memset(filler, 'a', sizeof(filler));
            piece_write(call, (struct str){filler, sizeof(filler)});
        }
        call->endless_sent += wire.len;
        conn_send(c, wire.ptr, wire.len);
        wire.len = 0;
    }
    if (call->endless_sent >= ENDLESS_MAX) {
        call->incomplete = true;
        conn_close_soon(c, false);
        call_sent(c);
        return;
    }
    if (!conn_blocked(c))
        conn_ready(c);
}
