/* What conn.c, conn_tls.c, dial.c and listen.c share about a connection. Nobody else's. */
#ifndef NET_CONN_IN_H
#define NET_CONN_IN_H

#include "net/conn.h"

struct iovec;
struct tls_client;

/* conn.c */

/* The first steps of a life: fields set, counted as open, state as given. */
void conn_begin(struct net *net, struct conn *conn, const struct conn_events *events,
                enum conn_state state);
/* Undoes conn_begin() where no callback may come: the conn is unused again. */
void conn_unbegin(struct conn *conn);
/* Takes a connected descriptor; state stays. On failure the fd is closed. */
int MUST_CHECK conn_attach(struct conn *conn, int fd);
void conn_set_state(struct conn *conn, enum conn_state next);
/* CONN_OPEN, reading on, on_open called; false when that ended it. */
bool conn_opened(struct conn *conn);
/* Tells on_error, then closes. The last thing its caller does with the conn. */
void conn_fail(struct conn *conn, enum conn_stage stage, int err, const char *text);
/* Puts what is wanted into libuv's hands: the one place where epoll changes. */
void conn_update_interest(struct conn *conn);
/* Sends at the end of the turn, or now; keeps what the socket does not take. May change iov. */
int MUST_CHECK conn_send(struct conn *conn, struct iovec *iov, unsigned count);
/* The same, now. */
int MUST_CHECK conn_send_now(struct conn *conn, struct iovec *iov, unsigned count);
/* A send at the end of the turn failed: tells on_error, then closes. */
void conn_write_failed(struct conn *conn, int err);
/* on_eof, once. */
void conn_saw_eof(struct conn *conn, bool clean);
/* on_closed, once libuv and the crew have both let go. */
void conn_maybe_closed(struct conn *conn);

/* conn_tls.c */

/* The handshake begins on an attached conn in CONN_HANDSHAKING. */
int MUST_CHECK conn_tls_accept(struct conn *conn, struct tls_server *server);
/* The same for a dialled one; link was made before. */
int MUST_CHECK conn_tls_connect(struct conn *conn, struct tls_client *client, struct str host,
                                uint16_t port);
void conn_tls_on_readable(struct conn *conn); /* while CONN_HANDSHAKING */
/* Decrypts bytes and delivers them. */
void conn_tls_input(struct conn *conn, const uint8_t *bytes, size_t len);
int MUST_CHECK conn_tls_write(struct conn *conn, const struct str *parts, unsigned count);
void conn_tls_close_notify(struct conn *conn);
/* It closes: leaves queues; memory goes in conn_tls_free(). */
void conn_tls_closing(struct conn *conn);
void conn_tls_free(struct conn *conn);

/* dial.c */

/* The conn closes while it dials: nothing of the dial touches it afterwards. */
void dial_abandon(struct conn *conn);

/* listen.c */

/* Descriptors or places became free: paused listeners go on. */
void listeners_resume(struct net *net);

#endif
