/*
 * One connection's TLS, over memory. The library reads from and writes to a struct tls_io by the
 * two bio functions; nothing here knows a socket.
 *
 * Right after the library made its two record buffers they are exchanged for blocks of
 * tls_pages.c, and taken out again before it frees the rest: Debian's builds of the library offer
 * no allocator hook. Both buffers' pointers are moved along; they are all in
 * link_adopt_buffers().
 */
#include "net/tls_lib.h"

#include "net/dial.h"

#include <mbedtls/net_sockets.h>
#include <mbedtls/platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAN_IP (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)
#define OUT_KEPT_BYTES (128u << 10)
/* A record of up to this many bytes stays within a block's first page, headers included. */
#define SHALLOW_BYTES 3800u
#define BUFFER_HEAD_BYTES 64u

struct tls_link {
    mbedtls_ssl_context ssl;
    struct tls_io *io; /* during a call */
    struct tls_server *server;
    struct tls_client *client;
    struct tls_session *offered; /* what a client would resume */
    struct tls_session *fresh;   /* what it may resume next time: made with the crew */
    void *in_block, *out_block;  /* of tls_pages.c */
    char *error;
    bool made;              /* the library's part exists */
    bool verified;          /* client: a certificate was checked, so it was a full handshake */
    bool took;              /* server: a ticket was accepted */
    bool in_deep, out_deep; /* more than the block's first page was used */
    uint8_t ip_len;         /* client: host is an address of 4 or 16 bytes */
    uint8_t ip[16];
    uint16_t port;
    size_t host_len;
    char host[];
};

/* ---- errors ------------------------------------------------------------------------------- */

static enum tls_result
link_failed_text(struct tls_link *link, const char *text)
{
    if (link->error == NULL)
        link->error = strdup(text);
    return TLS_FAILED;
}

static enum tls_result
link_failed(struct tls_link *link, int rc)
{
    char text[TLS_ERROR_TEXT], detail[TLS_ERROR_TEXT - 40] = "";
    uint32_t flags = mbedtls_ssl_get_verify_result(&link->ssl);

    if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        size_t len;

        (void)mbedtls_x509_crt_verify_info(detail, sizeof(detail), "", flags);
        len = strlen(detail);
        if (len > 0 && detail[len - 1] == '\n')
            detail[len - 1] = '\0';
        for (char *c = detail; *c != '\0'; c++) {
            if (*c == '\n')
                *c = ';';
        }
        (void)snprintf(text, sizeof(text), "certificate verify failed: %s", detail);
        return link_failed_text(link, text);
    }
    tls_lib_error_text(rc, detail, sizeof(detail));
    if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        (void)snprintf(text, sizeof(text), "%s (alert %u)", detail, link->ssl.TLS_FIELD(in_msg)[1]);
    else
        (void)snprintf(text, sizeof(text), "%s", detail);
    return link_failed_text(link, text);
}

const char *
tls_link_error(const struct tls_link *link)
{
    return link->error != NULL ? link->error : "TLS failed";
}

/* ---- between the library and memory ------------------------------------------------------- */

static int
link_on_send(void *arg, const unsigned char *bytes, size_t len)
{
    struct tls_link *link = arg;

    if (len > SHALLOW_BYTES)
        link->out_deep = true;
    if (!buf_add(link->io->out, bytes, len))
        return MBEDTLS_ERR_NET_SEND_FAILED;
    return (int)len;
}

static int
link_on_recv(void *arg, unsigned char *out, size_t len)
{
    struct tls_link *link = arg;
    struct tls_io *io = link->io;
    size_t n = MIN(len, io->in_len);

    if (n == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (len > SHALLOW_BYTES)
        link->in_deep = true;
    memcpy(out, io->in, n);
    io->in += n;
    io->in_len -= n;
    return (int)n;
}

static unsigned char *
moved(unsigned char *at, const unsigned char *from, unsigned char *to)
{
    return at == NULL ? NULL : to + (at - from);
}

#define MOVE(ssl, member, from, to)                                                                \
    ((ssl)->TLS_FIELD(member) = moved((ssl)->TLS_FIELD(member), from, to))

static void
link_adopt_buffers(struct tls_link *link)
{
    mbedtls_ssl_context *ssl = &link->ssl;
    unsigned char *old;
    unsigned char *block = tls_pages_take();

    if (block != NULL) {
        old = ssl->TLS_FIELD(in_buf);
        memcpy(block, old, BUFFER_HEAD_BYTES);
        MOVE(ssl, in_ctr, old, block);
        MOVE(ssl, in_hdr, old, block);
        MOVE(ssl, in_len, old, block);
        MOVE(ssl, in_iv, old, block);
        MOVE(ssl, in_msg, old, block);
        MOVE(ssl, in_offt, old, block);
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
        MOVE(ssl, in_cid, old, block);
#endif
        ssl->TLS_FIELD(in_buf) = link->in_block = block;
        mbedtls_free(old);
        block = tls_pages_take();
    }
    if (block != NULL) {
        old = ssl->TLS_FIELD(out_buf);
        memcpy(block, old, BUFFER_HEAD_BYTES);
        MOVE(ssl, out_ctr, old, block);
        MOVE(ssl, out_hdr, old, block);
        MOVE(ssl, out_len, old, block);
        MOVE(ssl, out_iv, old, block);
        MOVE(ssl, out_msg, old, block);
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
        MOVE(ssl, out_cid, old, block);
#endif
        ssl->TLS_FIELD(out_buf) = link->out_block = block;
        mbedtls_free(old);
    }
}

static void
link_return_buffers(struct tls_link *link)
{
    if (link->in_block != NULL) {
        link->ssl.TLS_FIELD(in_buf) = NULL;
        tls_pages_give(link->in_block);
    }
    if (link->out_block != NULL) {
        link->ssl.TLS_FIELD(out_buf) = NULL;
        tls_pages_give(link->out_block);
    }
}

void
tls_link_trim(struct tls_link *link)
{
    if (!link->made)
        return;
    if (link->in_deep && link->in_block != NULL && link->ssl.TLS_FIELD(in_left) == 0 &&
        mbedtls_ssl_get_bytes_avail(&link->ssl) == 0 &&
        mbedtls_ssl_check_pending(&link->ssl) == 0) {
        tls_pages_trim(link->in_block);
        link->in_deep = false;
    }
    if (link->out_deep && link->out_block != NULL && link->ssl.TLS_FIELD(out_left) == 0) {
        tls_pages_trim(link->out_block);
        link->out_deep = false;
    }
}

/* ---- life --------------------------------------------------------------------------------- */

struct tls_link *
tls_link_new_server(struct tls_server *server)
{
    struct tls_link *link = calloc(1, sizeof(*link) + 1);

    if (link != NULL)
        link->server = server;
    return link;
}

struct tls_link *
tls_link_new_client(struct tls_client *client, struct str host, uint16_t port)
{
    struct tls_link *link;
    struct net_addr addr;
    const char *why;

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    link = calloc(1, sizeof(*link) + host.len + 1);
    if (link == NULL)
        return NULL;
    link->client = client;
    link->port = port;
    link->host_len = host.len;
    memcpy(link->host, host.ptr, host.len);
    if (dial_host_kind(host, &addr, &why) == DIAL_HOST_ADDRESS) {
        link->ip_len = addr.family == 4 ? 4 : 16;
        memcpy(link->ip, addr.ip, sizeof(link->ip));
    }
    link->offered = tls_session_find(client, host, port);
    return link;
}

void
tls_link_free(struct tls_link *link)
{
    if (link->made) {
        link_return_buffers(link);
        mbedtls_ssl_free(&link->ssl);
    }
    tls_session_drop(link->offered);
    tls_session_drop(link->fresh);
    free(link->error);
    free(link);
}

/*
 * The library (2.28) compares names with alternative names of kind DNS only. For an address we
 * set no name, and look at those of kind IP here.
 */
static int
link_on_verify(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct tls_link *link = arg;

    link->verified = true;
    if (depth != 0 || link->ip_len == 0)
        return 0;
    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san != NULL; san = san->next) {
        if (san->buf.p != NULL && san->buf.tag == SAN_IP && san->buf.len == link->ip_len &&
            memcmp(san->buf.p, link->ip, link->ip_len) == 0)
            return 0;
    }
    *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static const mbedtls_ssl_config *
link_conf(const struct tls_link *link, const struct tls_io *io)
{
    unsigned fast = tls_lib_suite_fast();

    if (link->client != NULL)
        return &link->client->conf;
    return fast != 0 && tls_hello_offers(io->in, io->in_len, fast) ? &link->server->conf_fast
                                                                   : &link->server->conf;
}

/* The first step, with the crew: what takes time or much memory. */
static enum tls_result
link_make(struct tls_link *link, const struct tls_io *io)
{
    char err[TLS_ERROR_TEXT];
    int rc;

    if (link->client != NULL && !tls_client_load(link->client, err, sizeof(err)))
        return link_failed_text(link, err);
    mbedtls_ssl_init(&link->ssl);
    link->made = true;
    rc = mbedtls_ssl_setup(&link->ssl, link_conf(link, io));
    if (rc != 0)
        return link_failed(link, rc);
    link_adopt_buffers(link);
    mbedtls_ssl_set_bio(&link->ssl, link, link_on_send, link_on_recv, NULL);
    if (link->client == NULL)
        return TLS_OK;
    mbedtls_ssl_set_verify(&link->ssl, link_on_verify, link);
    rc = mbedtls_ssl_set_hostname(&link->ssl, link->ip_len != 0 ? NULL : link->host);
    if (rc != 0)
        return link_failed(link, rc);
    /* A session that cannot be set is no reason to fail: the handshake is then a full one. */
    if (link->offered != NULL)
        (void)mbedtls_ssl_set_session(&link->ssl, &link->offered->session);
    return TLS_OK;
}

/* ---- the handshake ------------------------------------------------------------------------ */

/* Takes out what can be resumed; without the peer's certificate, which resuming does not need
 * and copying would parse anew. */
static struct tls_session *
link_take_session(struct tls_link *link)
{
    struct tls_session *session =
        tls_session_new((struct str){link->host, link->host_len}, link->port);

    if (session == NULL)
        return NULL;
    if (mbedtls_ssl_get_session(&link->ssl, &session->session) != 0) {
        tls_session_drop(session);
        return NULL;
    }
#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
    if (session->session.TLS_FIELD(peer_cert) != NULL) {
        mbedtls_x509_crt_free(session->session.TLS_FIELD(peer_cert));
        mbedtls_free(session->session.TLS_FIELD(peer_cert));
        session->session.TLS_FIELD(peer_cert) = NULL;
    }
#endif
    return session;
}

static bool
link_is_13(const struct tls_link *link)
{
    return strcmp(mbedtls_ssl_get_version(&link->ssl), "TLSv1.3") == 0;
}

enum tls_result
tls_link_handshake(struct tls_link *link, struct tls_io *io)
{
    int rc;

    if (!link->made) {
        enum tls_result made = link_make(link, io);

        if (made != TLS_OK)
            return made;
    }
    link->io = io;
    (void)tls_tickets_took();
    rc = mbedtls_ssl_handshake(&link->ssl);
    link->took |= tls_tickets_took();
    link->io = NULL;
    if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
        return TLS_WANT_INPUT;
    if (rc != 0)
        return link_failed(link, rc);
    /* TLS 1.3 sends its tickets later: see tls_link_read(). */
    if (link->client != NULL && link->verified && !link_is_13(link))
        link->fresh = link_take_session(link);
    return TLS_OK;
}

void
tls_link_handshaken(struct tls_link *link, bool succeeded)
{
    if (link->offered != NULL) {
        if (!succeeded)
            tls_session_forget(link->client, link->offered);
        tls_session_drop(link->offered);
        link->offered = NULL;
    }
    if (succeeded && link->fresh != NULL) {
        tls_session_keep(link->client, link->fresh);
        link->fresh = NULL;
    }
    tls_link_trim(link);
}

void
tls_link_peer(const struct tls_link *link, struct tls_peer *out)
{
    memset(out, 0, sizeof(*out));
    if (!link->made)
        return;
    (void)snprintf(out->version, sizeof(out->version), "%s", mbedtls_ssl_get_version(&link->ssl));
    tls_dates_of(mbedtls_ssl_get_peer_cert(&link->ssl), &out->dates);
}

bool
tls_link_resumed(const struct tls_link *link)
{
    return link->client != NULL ? !link->verified : link->took;
}

/* ---- records ------------------------------------------------------------------------------ */

/*
 * TLS 1.3 sends tickets among the data. The library tells of one in two steps: it first stops
 * with "want read" in a state of its own, and reads the ticket when called again. True: call
 * again.
 */
static bool
link_met_ticket(struct tls_link *link, int rc, bool *began)
{
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    if (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        struct tls_session *session = link->client != NULL ? link_take_session(link) : NULL;

        if (session != NULL)
            tls_session_keep(link->client, session);
        *began = false;
        return true;
    }
    if (rc == MBEDTLS_ERR_SSL_WANT_READ && !*began &&
        link->ssl.TLS_FIELD(state) == MBEDTLS_SSL_TLS1_3_NEW_SESSION_TICKET) {
        *began = true;
        return true;
    }
#else
    (void)link;
    (void)rc;
    (void)began;
#endif
    return false;
}

enum tls_result
tls_link_read(struct tls_link *link, struct tls_io *io, uint8_t *out, size_t cap, size_t *len)
{
    bool began = false;
    int rc;

    *len = 0;
    link->io = io;
    do {
        rc = mbedtls_ssl_read(&link->ssl, out, cap);
    } while (link_met_ticket(link, rc, &began));
    link->io = NULL;
    if (rc > 0) {
        *len = (size_t)rc;
        return TLS_OK;
    }
    if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
        return TLS_WANT_INPUT;
    if (rc == 0 || rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return TLS_END;
    return link_failed(link, rc);
}

enum tls_result
tls_link_write(struct tls_link *link, struct tls_io *io, const uint8_t *bytes, size_t len)
{
    enum tls_result result = TLS_OK;

    link->io = io;
    while (len > 0) {
        int rc = mbedtls_ssl_write(&link->ssl, bytes, len);

        if (rc <= 0) {
            result = link_failed(link, rc);
            break;
        }
        bytes += rc;
        len -= (size_t)rc;
    }
    link->io = NULL;
    return result;
}

void
tls_link_close_notify(struct tls_link *link, struct tls_io *io)
{
    link->io = io;
    (void)mbedtls_ssl_close_notify(&link->ssl);
    link->io = NULL;
}

/* ---- scratch ------------------------------------------------------------------------------ */

struct tls_scratch *
tls_scratch_new(void)
{
    struct tls_scratch *scratch = malloc(sizeof(*scratch));

    if (scratch == NULL)
        return NULL;
    buf_init(&scratch->out, OUT_KEPT_BYTES);
    if (!buf_reserve(&scratch->out, OUT_KEPT_BYTES)) {
        free(scratch);
        return NULL;
    }
    return scratch;
}

void
tls_scratch_free(struct tls_scratch *scratch)
{
    if (scratch == NULL)
        return;
    buf_free(&scratch->out);
    free(scratch);
}
