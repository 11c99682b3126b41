/*
 * The answer on its way: read whole, priced and then sent (worker/whole.h); or a stream, passed on event
 * by event as it comes, metered as it flows (worker/stream.h).
 *
 * Nothing of an answer reaches the client before it was understood; until then any failure is the
 * next candidate's chance. Afterwards a failure ends the stream with the protocol's error event and
 * the end of the connection: never with what looks like a clean end.
 */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

#include "worker/room.h"

/* The request is out: progress starts at the price of the input, and the wait for the first byte. */
void relay_sent(struct call *call);

/* From the upstream's connection. Each may end the call, and may give the connection to another. */
void relay_bytes(struct uconn *uc, const uint8_t *bytes, size_t len);
void relay_eof(struct uconn *uc);
void relay_conn_error(struct uconn *uc, const struct conn_error *error);

/* The upstream is at fault, in a way that text tells: the next candidate's chance, or the end of a stream
 * that was begun. */
void relay_failed(struct call *call, enum record_reason reason, enum error_kind kind,
                  const char *text);
/* What no error of the upstream's may tell the client; uses list. */
struct error_secrets relay_secrets(const struct call *call, struct str list[2]);

/* The call's timer: of the attempt, or (over) of the whole call. May end the call. */
void relay_timed_out(struct call *call, bool over);
/* Ours: draining took too long. Ends the call. */
void relay_cancelled(struct call *call);
/* The client is gone; the call is held: settles for what was used. */
void relay_settle_gone(struct call *call);
/* Mode strict: the charge is durable; sends what waits for it and ends the call. */
void relay_committed(struct call *call);

#endif
