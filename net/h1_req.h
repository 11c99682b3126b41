/*
 * The requests of one client connection, one after the other, from bytes in any slicing.
 *
 *     while reading:
 *         event = h1_req_feed(req, bytes, len, &used);   bytes += used, len -= used
 *         MORE  all bytes are used: read on
 *         HEAD  req->head stands: look at it, answer "100 Continue" if it asks for that,
 *               then feed again, at once, with the rest (even if that is nothing)
 *         DONE  req->head and req->body stand: serve it. The bytes left over are the next
 *               requests': h1_req_stash() keeps them
 *         ERROR answer req->error, close; not one byte more is interpreted, ever
 *     when the request is no longer needed (the answer may still be under way):
 *         h1_req_next(req)
 *     when its answer is sent: feed again, with no bytes if there is a stash
 *
 * Copies. A request that lies whole in the fed bytes is not copied: head and body point into
 * them (req->borrowed), and the caller who needs them after its read buffer is reused calls
 * h1_req_keep() before. Of any other request the reader itself makes a copy, head and body in
 * one block: a body with Content-Length gets one allocation of the exact size. A chunked body
 * is gathered; where it lies whole in the fed bytes that happens in place, so they are changed.
 *
 * Memory: nothing between requests but a stash, if there is one; what reads chunks only while there are some.
 */
#ifndef NET_H1_REQ_H
#define NET_H1_REQ_H

#include "net/h1_head.h"

/* With this much stashed the caller must stop reading; twice as much is never kept. */
#define H1_STASH_MARK (64u * 1024)

enum h1_req_event { H1_REQ_MORE = 0, H1_REQ_HEAD, H1_REQ_DONE, H1_REQ_ERROR };

/* For the caller's deadlines. */
enum h1_req_state {
    H1_REQ_IDLE = 0, /* no byte of the next request was fed yet */
    H1_REQ_IN_HEAD,
    H1_REQ_IN_BODY,
    H1_REQ_READY, /* DONE was said; waits for h1_req_next() */
    H1_REQ_FAILED,
    H1_REQ_STATE_COUNT
};

struct h1_block; /* one allocation: table of headers, then the bytes of head and body */
struct h1_chunked;

struct h1_req {
    /* For the caller to read. */
    enum h1_req_state state;
    bool borrowed;         /* head and body point into the fed bytes */
    struct h1_head *head;  /* NULL until the head was read and found good */
    struct str body;       /* with DONE; {non-NULL, 0} when empty */
    uint64_t body_bytes;   /* received so far */
    struct h1_error error; /* with ERROR */

    /* The reader's own. */
    const struct h1_limits *limits;
    struct h1_head *scratch;
    struct h1_block *block;
    uint8_t *stash;
    size_t stash_len, stash_off, stash_cap;
    struct h1_chunked *chunked; /* while a chunked body is read, else NULL */
};

/*
 * Allocates nothing. limits and scratch outlive the reader. scratch may be shared by all
 * readers of a thread: it holds the head of a borrowed request, so h1_req_keep() also when
 * another connection is served before this request is done with.
 */
void h1_req_init(struct h1_req *req, const struct h1_limits *limits, struct h1_head *scratch);
/*
 * Reads up to the next event; *used of the bytes belong to what was read so far. With a stash
 * the bytes are added to it and read from there (*used is len then). In state READY or FAILED
 * nothing is read: answers DONE or ERROR again, *used = 0. Out of memory is an ERROR of 503.
 */
enum h1_req_event h1_req_feed(struct h1_req *req, uint8_t *bytes, size_t len, size_t *used);
/* After HEAD, before more is fed: of this body, where it is chunked, less is taken than the limits say. Other bodies say
 * themselves how long they are. */
void h1_req_bound_body(struct h1_req *req, uint64_t body_bytes);
/* Makes the request independent of the fed bytes and of scratch. 0 or -ENOMEM. After DONE. */
int h1_req_keep(struct h1_req *req) MUST_CHECK;
/* Keeps bytes that came after DONE for later. 0, -ENOMEM, or -ENOBUFS past twice the mark. */
int h1_req_stash(struct h1_req *req, const uint8_t *bytes, size_t len) MUST_CHECK;
/* Whether h1_req_feed(req, NULL, 0, …) has something to read. */
bool h1_req_has_stash(const struct h1_req *req);
/* Ends the life of the request that was DONE: its views are gone, its memory given back. Not
 * in state FAILED, which is for good. */
void h1_req_next(struct h1_req *req);
/* Gives all memory back. The reader is as after h1_req_init(). */
void h1_req_end(struct h1_req *req);

#endif
