/*
 * A request of the management API, and its reply.
 *
 * manage_handle() is called once a request, with the whole of it. It replies there and then, or keeps the
 * request and replies later:
 *
 *     whole:    request_head(), request_header() …, request_send()
 *     streamed: request_head(), request_header() …, request_chunk() …, request_end()
 *
 * Life. After request_send() or request_end() the request is gone: its memory, and with it the arena, may not
 * be touched again. When its client leaves first, `gone` is set and on_gone comes, once; the request is gone when
 * that returns (at once, without one). Who still needs it then, since an answer of the ledger process or of a
 * thread is under way, had called request_hold() before: the memory stays until request_release(). Of a request
 * that is gone, all functions here do nothing.
 *
 * All of it on the loop's thread.
 */
#ifndef MANAGE_REQUEST_H
#define MANAGE_REQUEST_H

#include "base/arena.h"
#include "base/base.h"

struct manage;

/* Of a request's own arena; its body is not counted in. */
#define REQUEST_ARENA_BYTES (8u << 20)

struct request {
    struct manage *manage;
    struct arena arena; /* REQUEST_ARENA_BYTES at most */
    struct str method;  /* "GET", "HEAD", … */
    struct str path;    /* as it came, without the query: still percent-encoded, begins with '/' */
    struct str query;   /* without its '?'; STR_NONE when the target has none */
    struct str body;    /* {non-NULL, 0} when empty; may be changed in place */
    /* Headers; STR_NONE when absent. */
    struct str host, content_type, accept, accept_language, authorization, api_key, cookie, origin, referer,
        sec_fetch_site, csrf_token, idempotency_key, user_agent, if_none_match;
    /* Of the client, as the worker knows it: never what the client says. */
    struct str peer_ip; /* an address's text */
    bool tls; /* also where routes.conf says that TLS ends before us */
    struct str id; /* names the request in logs and answers */
    bool gone;     /* the client left */

    /* The handler's own. */
    void *state;
    void (*on_gone)(struct request *request);
    void (*on_drain)(struct request *request); /* after request_is_full(): go on */
};

/*
 * Begins the reply. Once a request. content-length, date and what frames the body are added by themselves; for
 * HEAD, 204 and 304 the body is left out.
 */
void request_head(struct request *request, unsigned status);
/* name in lower case. A value with CR, LF, NUL or another control byte is left out, with a line in the log:
 * what is put into a header is to be checked before. */
void request_header(struct request *request, const char *name, struct str value);
/* The whole body; ends the request. The bytes may be reused at once. */
void request_send(struct request *request, struct str body);

/* A part of a body whose length is not known. 0; negative: the client left, or memory is short (the client then
 * sees a cut answer). An empty part sends the head alone, so that a client knows that its answer has begun. */
int request_chunk(struct request *request, struct str bytes);
/* The client does not take what was sent so far: send no more before on_drain. More is still taken. */
bool request_is_full(const struct request *request);
/* Ends a streamed body. */
void request_end(struct request *request);
/* Ends a streamed body so that the client sees that it was cut. */
void request_cut(struct request *request);
/* There is something of its reply, if only its head. */
bool request_has_begun(const struct request *request);

/* See above. Counted: as many releases as holds. A release may free the request. */
void request_hold(struct request *request);
void request_release(struct request *request);

/* Above this room; each is called by manage/ itself. */
int MUST_CHECK manage_begin(struct manage *manage); /* before anything is served: 0 or a negative errno */
void manage_handle(struct request *request);
void manage_end(struct manage *manage); /* no request is there any more, the net still is */

#endif
