/*
 * A client's connection: requests in, one at a time and in order, answers out. Deadlines for
 * each phase, pipelining, keep-alive. Knows HTTP, and nothing of calls but that one may be under
 * way.
 *
 * An answer is begun with client_head(), gets its headers, and goes out with one of the client_send
 * functions. Those that end the answer (whole, last) also begin the next request; the client may be
 * closing when they return. All answer false when the client is gone, which is no fault of the
 * answer: the caller only has to stop.
 */
#ifndef WORKER_CLIENT_H
#define WORKER_CLIENT_H

#include "worker/room.h"

extern const struct conn_events client_events;

/* A connection from peer: a client to put it in, or NULL when there is no room. */
struct client *client_new(struct worker *w, bool metrics);
/* It is one of those that the worker says it has. */
void client_is_counted(struct client *client);
/* It never opened: gives the memory back. */
void client_drop(struct client *client);

/* Status line, date and x-request-id into the worker's head buffer. */
void client_head(struct client *client, struct h1_out *out, unsigned status, struct str id);
/* Of an error: its content type, and when to come again where that may help. */
void client_error_lines(struct h1_out *out, const struct proto_error *error);
bool client_send_whole(struct client *client, struct h1_out *out, struct str body);
/* The head alone, of an answer that has no body, or whose request was a HEAD. */
bool client_send_bare(struct client *client, struct h1_out *out);
/* The head of a stream with its first bytes; body parts may be none. At most CONN_PARTS_MAX - 3. */
bool client_send_head(struct client *client, struct h1_out *out, const struct str *parts,
                      unsigned count);
bool client_send_parts(struct client *client, const struct str *parts, unsigned count);
/* The stream's last bytes and its end. */
bool client_send_last(struct client *client, const struct str *parts, unsigned count);
/* The stream's last bytes, of one that broke: no chunk says that this is the end, and the connection
 * is closed behind them. */
bool client_send_cut(struct client *client, const struct str *parts, unsigned count);

/* The head of a 101, to which the client's headers and those of the switch were added: from here
 * on what comes is no request, and goes out as it is. The end closes the connection, once all is
 * out. */
bool client_send_switch(struct client *client, struct h1_out *out);
bool client_send_switched(struct client *client, const struct str *parts, unsigned count);
void client_end_switched(struct client *client, struct str last);

/* A whole error in the shape of the protocol. allow: for 405, else NULL. */
bool client_send_error(struct client *client, enum proto_protocol shape,
                       const struct proto_error *error, struct str id, const char *allow);

/* No request after the one under way. */
void client_close_after(struct client *client);
/* The worker drains: when the server stops, closes it if it is idle, else after its answer; on a reload
 * only once an answer has said so, or when it is quiet. */
void client_drain(struct client *client);
/* The answer cannot be completed: the peer must see that it was cut. */
void client_abort(struct client *client);

#endif
