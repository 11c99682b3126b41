/*
 * The answer of an upstream to one POST or GET, from bytes in any slicing.
 *
 * Body bytes are never copied: each feed lists the pieces of the body as they lie in the fed bytes.
 * Bounded: headers by the limits, 1xx answers are skipped up to a number, compressed bodies are
 * refused, and 101 is unless the caller asked for it. Redirects are a status like any other. A
 * body's length is the caller's to bound. Mid-body nothing is kept but this struct.
 *
 *     got = h1_res_feed(res, bytes, len, out);    out->spans first, then
 *         MORE   all bytes are used: read on
 *         HEAD   res->head stands until the next feed; feed again with the rest
 *         SPANS  the list is full; feed again with the rest
 *         DONE   res->end_by says how it ended; h1_res_reusable() whether the connection lives on
 *         ERROR  res->error says what; close the connection
 *     at the connection's end: h1_res_eof(), which answers DONE or ERROR
 */
#ifndef NET_H1_RES_H
#define NET_H1_RES_H

#include "net/h1_chunk.h"
#include "net/h1_head.h"
#include "net/h1_twin.h"

#define H1_SPANS_MAX 64

struct h1_res_out {
    size_t used; /* of the fed bytes, by what was read so far */
    size_t span_count;
    struct str spans[H1_SPANS_MAX]; /* pieces of the body, in order, none empty */
};

enum h1_res_event {
    H1_RES_MORE = 0,
    H1_RES_HEAD,
    H1_RES_SPANS,
    H1_RES_DONE,
    H1_RES_ERROR,
};

enum h1_res_end_by { H1_END_NO_BODY = 0, H1_END_LENGTH, H1_END_CHUNKED, H1_END_CLOSE };

enum h1_res_error {
    H1_RES_OK = 0,
    H1_RES_NO_ANSWER,    /* closed before the first byte: a kept connection had gone stale */
    H1_RES_EARLY_END,    /* closed within the head or the body */
    H1_RES_BAD_HEAD,     /* malformed or contradictory; why is in res->reason */
    H1_RES_HEAD_TOO_BIG, /* the head passed a limit */
    H1_RES_TOO_MANY_1XX,
    H1_RES_SWITCHED,   /* 101 */
    H1_RES_COMPRESSED, /* content-encoding other than identity */
    H1_RES_BAD_CHUNK,
    H1_RES_CHUNK_EXTRA, /* chunk extensions and trailers passed their limit */
    H1_RES_NO_MEMORY,
    H1_RES_ERROR_COUNT
};
/* "no answer", "early end", "bad head", … for traces. */
const char *h1_res_error_text(enum h1_res_error error);

enum h1_res_state {
    H1_RES_IN_HEAD = 0,
    H1_RES_IN_BODY,
    H1_RES_OVER,
    H1_RES_FAILED,
    H1_RES_STATE_COUNT
};

struct h1_block;

struct h1_res {
    /* For the caller to read. */
    uint8_t state;         /* enum h1_res_state */
    uint8_t error;         /* enum h1_res_error */
    uint8_t end_by;        /* enum h1_res_end_by, with DONE */
    uint8_t interim_count; /* 1xx answers skipped */
    bool started;          /* a byte of the answer has come */
    bool extra;            /* bytes came after the answer */
    bool keep_alive;
    bool may_switch; /* the caller's to set after h1_res_init(): 101 is an answer. With its HEAD the
                        reader is over: what follows is not HTTP, and not to be fed */
    uint16_t status;      /* from HEAD on */
    const char *reason;   /* static text, with ERROR */
    struct h1_head *head; /* with HEAD, until the next call; else NULL */
    uint64_t body_bytes;  /* received so far */

    /* The reader's own. */
    uint8_t framing; /* enum h1_framing */
    uint64_t left;   /* of a body with a length */
    const struct h1_limits *limits;
    struct h1_head *scratch;
    struct h1_block *block;
    struct h1_chunk chunk;
    struct h1_twin twin;
};

/* Allocates nothing; call once an answer. scratch may be shared by all readers of a thread. */
void h1_res_init(struct h1_res *res, const struct h1_limits *limits, struct h1_head *scratch);
/* After DONE or ERROR says so again, used = 0, and notes in res->extra that bytes came. */
enum h1_res_event
h1_res_feed(struct h1_res *res, const uint8_t *bytes, size_t len, struct h1_res_out *out);
/* The connection has ended. DONE when the answer was over or lasts until the end, else ERROR. */
enum h1_res_event h1_res_eof(struct h1_res *res);
/* After DONE: the upstream keeps the connection, the end was marked, and nothing came after it. */
bool h1_res_reusable(const struct h1_res *res);
/* Gives memory back; needed only when the answer is given up before its end. Safe twice. */
void h1_res_end(struct h1_res *res);

#endif
