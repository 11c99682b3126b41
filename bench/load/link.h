/*
 * A connection to 127.x.x.x, plain or TLS, blocking or not; bytes go in and come out. The
 * certificate of the other side is not looked at: that is not what is measured.
 */
#ifndef BENCH_LOAD_LINK_H
#define BENCH_LOAD_LINK_H

#include <mbedtls/ssl.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum link_state { LINK_CLOSED = 0, LINK_CONNECTING, LINK_SHAKING, LINK_READY };

struct link {
    enum link_state state;
    int fd;                   /* -1 when closed */
    mbedtls_ssl_context *ssl; /* NULL: plain. Its own memory, from opening to closing */
};

/* Once, before the first TLS link. false: the library does not start. */
bool link_tls_init(void);

/* Closed. */
void link_init(struct link *l);

/*
 * Begins to connect; a blocking one is connected on return, and has 10 s for each read. A TLS
 * server is asked for host. 0 or a negative errno; then it is closed.
 */
int link_open(struct link *l, const struct sockaddr_in *to, const char *host, bool tls,
              bool blocking);

/*
 * Goes on with connecting and the handshake, after an event that may have said that it failed.
 * 0: ready; -EAGAIN: not yet; else it failed.
 */
int link_advance(struct link *l, bool failed);

/* Bytes that were taken, -EAGAIN, or another negative errno. After -EAGAIN the same bytes again. */
ssize_t link_send(struct link *l, const char *bytes, size_t len);

/* Bytes that came, 0 at the end, -EAGAIN, or another negative errno. */
ssize_t link_recv(struct link *l, char *bytes, size_t cap);

/* Safe to call twice. */
void link_close(struct link *l);

/* "TLSv1.2 TLS-ECDHE-…" of the first handshake that any link finished; "" before it. */
const char *link_negotiated(void);

#endif
