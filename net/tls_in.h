/*
 * TLS inside net/: one connection's state over memory, without a socket. conn_tls.c drives it;
 * tls*.c implement it and alone see the library. A link belongs to one thread at a time: to a
 * crew while a handshake step runs, else to the loop.
 */
#ifndef NET_TLS_IN_H
#define NET_TLS_IN_H

#include "base/base.h"
#include "base/buf.h"
#include "net/tls.h"

#define TLS_RECORD_MAX (16u << 10) /* plain bytes of a record */
#define TLS_RECORD_WIRE_MAX (TLS_RECORD_MAX + 2048u + 5u)

struct tls_link;

/* What a call may read (advanced as it is taken) and where it adds what is to be sent. */
struct tls_io {
    const uint8_t *in;
    size_t in_len;
    struct buf *out;
};

enum tls_result {
    TLS_OK = 0,
    TLS_WANT_INPUT,
    TLS_END,    /* the peer said close_notify */
    TLS_FAILED, /* see tls_link_error(); out may hold an alert */
};

/* Take a moment and no library memory: the first handshake step makes the rest. NULL: no memory. */
struct tls_link *tls_link_new_server(struct tls_server *server) MUST_CHECK;
struct tls_link *
tls_link_new_client(struct tls_client *client, struct str host, uint16_t port) MUST_CHECK;
void tls_link_free(struct tls_link *link);

/* With the crew. For links of one client never two at once: see conn_tls.c. */
enum tls_result tls_link_handshake(struct tls_link *link, struct tls_io *io);
/* On the loop, after the handshake ended either way: keeps or drops the session, frees pages. */
void tls_link_handshaken(struct tls_link *link, bool succeeded);

/* Up to cap bytes into out; *len of 0 comes with every result but TLS_OK. */
enum tls_result
tls_link_read(struct tls_link *link, struct tls_io *io, uint8_t *out, size_t cap, size_t *len);
/* All of it, as records of up to 16 KiB. */
enum tls_result
tls_link_write(struct tls_link *link, struct tls_io *io, const uint8_t *bytes, size_t len);
void tls_link_close_notify(struct tls_link *link, struct tls_io *io);

/* After a handshake, also one that failed, and before tls_link_handshaken(). */
void tls_link_peer(const struct tls_link *link, struct tls_peer *out);

/* Gives back pages that an idle link does not need. */
void tls_link_trim(struct tls_link *link);
bool tls_link_resumed(const struct tls_link *link);
/* Why it failed: never NULL, lives as long as the link. */
const char *tls_link_error(const struct tls_link *link);

/*
 * Blocks for the library's two record buffers a connection. Fresh blocks are untouched zero
 * pages of one big mapping, so a short record makes only the first page resident; freed
 * ones go back to the kernel. Thread safe.
 */
size_t tls_pages_block_bytes(void);
void *tls_pages_take(void); /* NULL: none left, or no mapping could be had */
void tls_pages_give(void *block);
/* Forgets all but the block's first page: its contents become zero. */
void tls_pages_trim(void *block);

/* Buffers shared by all TLS connections of a loop, each used within one call only. */
struct tls_scratch {
    struct buf out;                 /* records on their way to the socket */
    uint8_t gather[TLS_RECORD_MAX]; /* parts of a write as one record */
    uint8_t plain[64u << 10];       /* what one wake-up decrypted */
};
struct tls_scratch *tls_scratch_new(void) MUST_CHECK;
void tls_scratch_free(struct tls_scratch *scratch); /* NULL is fine */

#endif
