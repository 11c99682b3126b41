/*
 * Splits a byte stream into Server-Sent Events, whole ones, ready to be passed on.
 *
 * Feed any slicing of the stream and the events are the same. An event is the range of
 * bytes up to and including its blank line; further blank lines go with the event after
 * them. One that lies wholly inside the fed bytes
 * points into them, so that passing it on copies nothing; the tail of an unfinished one is
 * kept in a buffer that grows on demand, and goes back as soon as it is empty. Line ends
 * may be LF, CRLF or CR, mixed; a BOM may stand in front.
 *
 *     sse_feed(&sse, bytes);
 *     while ((rc = sse_next(&sse, &event)) == 1)
 *         … gather event.raw …
 *     … write what was gathered …
 *     rc = sse_keep(&sse);
 *
 * Events, and what they point to, are valid until sse_keep(); data that had to be joined
 * (event.joined) only until the next sse_next(). Knows no socket and no clock.
 */
#ifndef PROTO_SSE_H
#define PROTO_SSE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"

struct usage;

#define SSE_EVENT_LEN_MAX (1024u * 1024u)

struct sse_event {
    struct str raw;    /* the event's bytes, its blank line included: what is passed on */
    struct str name;   /* value of the last event: line; STR_NONE when there is none */
    struct str data;   /* values of the data: lines, joined by LF; STR_NONE when there is none */
    bool comment_only; /* no data line: comments, retry, id, blank lines. Not progress */
    bool joined;       /* data lies in a buffer of the splitter's */
    /* From sse_last() only: the stream ended before the blank line. Whoever passes raw on has to
     * add "\n\n". */
    bool unterminated;
    /* What the meter found in it, when it looked, so that who translates it need not look again:
     * data, checked; its usage, good or bad, NULL when it says nothing of that. */
    struct js_value document;
    const struct usage *usage; /* the meter's, until its next event */
};

struct sse {
    struct buf carry;  /* an unfinished event's bytes so far */
    struct buf *joined; /* for an event with several data lines, until sse_keep(); else NULL */
    struct str fed;    /* what is left of the bytes fed */
    /* The unfinished event: how much of it was looked at, and where its current line starts. */
    uint32_t scanned_len;
    uint32_t line_off;
    int failed;         /* sticky: -EMSGSIZE or -ENOMEM */
    bool has_line;      /* the unfinished event has a line that is not blank */
    bool line_was_crlf; /* and the last such line ended in CRLF */
    bool cr_pending;    /* the last byte was a CR whose LF may follow */
    bool started;       /* the first event was given: no BOM any more */
    bool carry_given;   /* carry's event was given: sse_keep() drops it */
};

/* Allocates nothing. The limit is less than 2 GiB. */
void sse_init(struct sse *sse, size_t event_len_max);
void sse_free(struct sse *sse);

/* The next bytes of the stream; sse_keep() was called for those before. */
void sse_feed(struct sse *sse, struct str bytes);
/* 1: *event is the next one. 0: no further whole event. -EMSGSIZE: an event is longer than the
 * limit; -ENOMEM. After a failure every call fails the same way. */
int MUST_CHECK sse_next(struct sse *sse, struct sse_event *event);
/* Copies what is unfinished, so that the fed bytes may go. 0, -EMSGSIZE or -ENOMEM. To be called
 * only once sse_next() gave 0 or failed. */
int MUST_CHECK sse_keep(struct sse *sse);
/*
 * The stream has ended. True when something was left: *event is what the unfinished bytes
 * amount to, with unterminated set unless its blank line was whole. Many servers leave out
 * the last blank line; a cut event looks the same here, so the meter decides.
 */
bool sse_last(struct sse *sse, struct sse_event *event);

#endif
