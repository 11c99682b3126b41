/*
 * The splitter looks at each byte once for line ends and once more when it takes the fields
 * of a whole event; both searches are memchr's.
 *
 * CR makes it delicate. A CR at the end of what has come may be a line end of its own or
 * half of a CRLF. Where a line with text ends so, nothing hangs on it yet. Where a blank line
 * does, the event would be late by a whole event if we waited, or its last LF would go astray
 * if we did not. The line before decides: after a CRLF an LF is as good as there, and is
 * waited for; else the event ends with the CR, and an LF after it is a blank line in front of
 * the next event. The choice does not depend on where the stream was cut.
 */
#include "proto/sse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* A carry buffer above this is not kept for the small tail of the next event. */
#define CARRY_KEEP_CAP (16u * 1024u)

void
sse_init(struct sse *sse, size_t event_len_max)
{
    ASSERT(event_len_max <= INT32_MAX); /* and what is fed at a time is less: offsets are 32 bits */
    memset(sse, 0, sizeof(*sse));
    buf_init(&sse->carry, event_len_max);
}

static size_t
event_len_max(const struct sse *sse)
{
    return sse->carry.cap_max;
}

static void
joined_free(struct sse *sse)
{
    if (sse->joined == NULL)
        return;
    buf_free(sse->joined);
    free(sse->joined);
    sse->joined = NULL;
}

void
sse_free(struct sse *sse)
{
    buf_free(&sse->carry);
    joined_free(sse);
    sse->fed = STR_NONE;
}

void
sse_feed(struct sse *sse, struct str bytes)
{
    ASSERT(sse->fed.len == 0 && bytes.len <= INT32_MAX);
    sse->fed = bytes;
}

/* Bytes of the unfinished event that came with earlier feeds. */
static size_t
carried_len(const struct sse *sse)
{
    return sse->carry_given ? 0 : sse->carry.len;
}

/* A line ended; next_off is where the one after it starts. True when that ends the event. */
static bool
line_ended(struct sse *sse, bool blank, bool crlf, size_t next_off)
{
    sse->line_off = (uint32_t)next_off;
    if (blank)
        return sse->has_line;
    sse->has_line = true;
    sse->line_was_crlf = crlf;
    return false;
}

/*
 * Looks through the fed bytes from where the last look ended. True when the event ends in
 * them: *end is then how many of them belong to it, which may be none.
 */
static bool
find_end(struct sse *sse, size_t *end)
{
    const char *bytes = sse->fed.ptr;
    size_t len = sse->fed.len, base = carried_len(sse), at = sse->scanned_len - base;
    size_t next_lf = 0; /* found once for many lines that end in CR */
    bool lf_known = false;

    while (at < len) {
        if (sse->cr_pending) {
            bool blank = sse->line_off == base + at - 1, crlf = bytes[at] == '\n';

            sse->cr_pending = false;
            at += crlf;
            if (line_ended(sse, blank, crlf, base + at)) {
                *end = at;
                return true;
            }
            continue;
        }
        if (!lf_known || next_lf < at) {
            const char *hit = memchr(bytes + at, '\n', len - at);

            next_lf = hit != NULL ? (size_t)(hit - bytes) : len;
            lf_known = true;
        }
        const char *cr = memchr(bytes + at, '\r', next_lf - at);
        size_t line_end = cr != NULL ? (size_t)(cr - bytes) : next_lf;
        bool blank = sse->line_off == base + line_end;

        if (line_end == len) {
            at = len;
            break;
        }
        at = line_end + 1;
        if (cr != NULL && (!blank || (sse->has_line && sse->line_was_crlf))) {
            sse->cr_pending = true;
            continue; /* to the byte after it, if it is here */
        }
        if (line_ended(sse, blank, false, base + at)) {
            *end = at;
            return true;
        }
    }
    sse->scanned_len = (uint32_t)(base + at);
    return false;
}

/* Strips the line end: gives the line, moves *rest behind it. */
static struct str
take_line(struct str *rest)
{
    const char *lf = memchr(rest->ptr, '\n', rest->len);
    size_t line_len = lf != NULL ? (size_t)(lf - rest->ptr) : rest->len;
    const char *cr = memchr(rest->ptr, '\r', line_len);
    struct str line = {rest->ptr, cr != NULL ? (size_t)(cr - rest->ptr) : line_len};
    size_t used = MIN(line.len + 1, rest->len);

    *rest = (struct str){rest->ptr + used, rest->len - used};
    return line;
}

/* The value of a line if its field has this name: all after the colon but one space. */
static bool
field_is(struct str line, struct str name, struct str *value)
{
    if (!str_starts_with(line, name))
        return false;
    line = (struct str){line.ptr + name.len, line.len - name.len};
    if (line.len > 0) {
        if (line.ptr[0] != ':')
            return false;
        line = (struct str){line.ptr + 1, line.len - 1};
        if (line.len > 0 && line.ptr[0] == ' ')
            line = (struct str){line.ptr + 1, line.len - 1};
    }
    *value = line;
    return true;
}

static int
add_data(struct sse *sse, struct sse_event *event, struct str value)
{
    if (event->comment_only) {
        event->comment_only = false;
        event->data = value;
        return 0;
    }
    if (sse->joined == NULL) {
        sse->joined = malloc(sizeof(*sse->joined));
        if (sse->joined == NULL)
            return -ENOMEM;
        buf_init(sse->joined, event_len_max(sse));
    }
    if (!event->joined) {
        sse->joined->len = 0;
        buf_add_str(sse->joined, event->data);
        event->joined = true;
    }
    buf_add_char(sse->joined, '\n');
    if (!buf_add_str(sse->joined, value))
        return -ENOMEM;
    event->data = buf_str(sse->joined);
    return 0;
}

/* Fills in what the lines of raw say. */
static int
read_fields(struct sse *sse, struct str raw, struct sse_event *event)
{
    struct str rest = raw;

    *event = (struct sse_event){.raw = raw, .comment_only = true};
    if (!sse->started && str_starts_with(rest, STR("\xef\xbb\xbf")))
        rest = (struct str){rest.ptr + 3, rest.len - 3};
    sse->started = true;
    while (rest.len > 0) {
        struct str line = take_line(&rest), value;

        if (line.len == 0)
            continue;
        if (line.ptr[0] == 'd' && field_is(line, STR("data"), &value)) {
            int rc = add_data(sse, event, value);

            if (rc < 0)
                return rc;
        } else if (line.ptr[0] == 'e' && field_is(line, STR("event"), &value)) {
            event->name = value;
        }
    }
    return 0;
}

static int
fail(struct sse *sse, int rc)
{
    sse->failed = rc;
    return rc;
}

static void
begin_event(struct sse *sse)
{
    sse->scanned_len = 0;
    sse->line_off = 0;
    sse->has_line = false;
    sse->line_was_crlf = false;
    sse->cr_pending = false;
}

/* The unfinished event is carry, if any, and the first len fed bytes. */
static int
take_event(struct sse *sse, size_t len, struct str *raw)
{
    *raw = (struct str){sse->fed.ptr, len};
    if (carried_len(sse) > 0) {
        if (!buf_add(&sse->carry, sse->fed.ptr, len))
            return fail(sse, -ENOMEM);
        *raw = buf_str(&sse->carry);
        sse->carry_given = true;
    }
    if (len > 0)
        sse->fed = (struct str){sse->fed.ptr + len, sse->fed.len - len};
    begin_event(sse);
    return 0;
}

/*
 * The event that nearly all are, whole in the fed bytes: one line of data and a blank one, both ended by
 * LF. False for any other, and nothing is done then.
 */
static bool
take_plain(struct sse *sse, struct sse_event *event)
{
    static const char data[] = "data:";
    const size_t name_len = sizeof(data) - 1;
    const char *start = sse->fed.ptr, *value = start + name_len, *lf;
    size_t len = sse->fed.len;

    if (sse->scanned_len != 0 || !sse->started || len < name_len ||
        memcmp(start, data, name_len) != 0)
        return false;
    lf = memchr(value, '\n', len - name_len);
    if (lf == NULL || (size_t)(lf - start) + 2 > MIN(len, event_len_max(sse)) || lf[1] != '\n' ||
        memchr(value, '\r', (size_t)(lf - value)) != NULL)
        return false;
    value += value < lf && *value == ' ';
    *event = (struct sse_event){
        .raw = {start, (size_t)(lf - start) + 2},
        .data = {value, (size_t)(lf - value)},
    };
    sse->fed = (struct str){lf + 2, len - event->raw.len};
    return true;
}

int
sse_next(struct sse *sse, struct sse_event *event)
{
    struct str raw;
    size_t end;
    int rc;

    if (sse->failed != 0)
        return sse->failed;
    if (sse->fed.len == 0)
        return 0;
    if (take_plain(sse, event))
        return 1;
    if (!find_end(sse, &end))
        return sse->scanned_len > event_len_max(sse) ? fail(sse, -EMSGSIZE) : 0;
    if (carried_len(sse) + end > event_len_max(sse))
        return fail(sse, -EMSGSIZE);
    rc = take_event(sse, end, &raw);
    if (rc == 0)
        rc = read_fields(sse, raw, event);
    return rc < 0 ? fail(sse, rc) : 1;
}

int
sse_keep(struct sse *sse)
{
    struct str tail = sse->fed;

    ASSERT(sse->failed != 0 || tail.len == 0 || sse->scanned_len == carried_len(sse) + tail.len);
    sse->fed = STR_NONE;
    if (UNLIKELY(sse->joined != NULL))
        joined_free(sse);
    if (sse->carry_given) {
        sse->carry_given = false;
        sse->carry.len = 0;
        if (tail.len == 0 || sse->carry.cap > CARRY_KEEP_CAP)
            buf_free(&sse->carry);
    }
    if (sse->failed != 0)
        return sse->failed;
    if (sse->carry.len + tail.len > event_len_max(sse))
        return fail(sse, -EMSGSIZE);
    if (tail.len > 0 && !buf_add_str(&sse->carry, tail))
        return fail(sse, -ENOMEM);
    return 0;
}

bool
sse_last(struct sse *sse, struct sse_event *event)
{
    size_t len = carried_len(sse) + sse->fed.len;
    /* A blank line that ended in a CR, whose LF we waited for. */
    bool whole = sse->cr_pending && sse->has_line && sse->line_off + 1 == len;
    bool only_blank = !sse->has_line && sse->line_off == len;
    struct str raw;

    if (sse->failed != 0 || len == 0 || only_blank)
        return false;
    if (take_event(sse, sse->fed.len, &raw) < 0 || read_fields(sse, raw, event) < 0)
        return false;
    event->unterminated = !whole;
    return true;
}
