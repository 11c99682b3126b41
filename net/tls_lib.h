/*
 * The one header that shows the TLS library, to tls_*.c alone. What differs between mbedTLS 2.28
 * and 3.6 is here or under an #if next to its use.
 */
#ifndef NET_TLS_LIB_H
#define NET_TLS_LIB_H

#include "base/list.h"
#include "net/tls_in.h"

#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#define TLS_LIB_3 (MBEDTLS_VERSION_NUMBER >= 0x03000000)
#if TLS_LIB_3
#define TLS_FIELD(member) MBEDTLS_PRIVATE(member)
#else
#define TLS_FIELD(member) member
#endif

/* "http/1.1" and an end, as the library wants it. */
extern const char *tls_alpn[2];

/* Library-wide state and the cipher measurement, once a process. Any thread. */
void tls_lib_once(void);
/* The library's random callback: straight from the kernel, so forks share nothing. */
int tls_lib_random(void *unused, unsigned char *out, size_t len);
/* What both sides set: versions, ciphers in order of speed, groups, ALPN, random. 0 or the
 * library's error. */
int tls_lib_configure(mbedtls_ssl_config *conf, int endpoint);
/*
 * Of TLS 1.3 the faster cipher only. As a server the library takes the first suite of the client's
 * that it has at all, whatever our order is: a client that has the faster one gets a configuration
 * that has no other. Without TLS 1.3 there is none, and the suite is 0.
 */
unsigned tls_lib_suite_fast(void);
void tls_lib_configure_fast(mbedtls_ssl_config *conf);
/* Whether the first bytes of a client are a hello in which this suite is. False when too few came. */
bool tls_hello_offers(const uint8_t *in, size_t in_len, unsigned suite);
/* Of all certificates of the chain, which may be NULL. */
void tls_dates_of(const mbedtls_x509_crt *chain, struct tls_dates *out);
/* A short text for a library error. */
void tls_lib_error_text(int error, char *out, size_t cap);

/* ---- tickets of a server (tls_ticket.c) ---- */

struct tls_tickets {
    uint8_t secret[TLS_TICKET_SECRET_LEN];
};
void tls_tickets_configure(struct tls_tickets *tickets, mbedtls_ssl_config *conf);
/* Whether a ticket was accepted on this thread since the last call. */
bool tls_tickets_took(void);

/* ---- contexts ---- */

struct tls_server {
    mbedtls_ssl_config conf;
    mbedtls_ssl_config conf_fast; /* the same, with one suite of TLS 1.3: tls_lib_configure_fast() */
    struct tls_tickets tickets;
    unsigned identity_count;
    struct tls_pair {
        mbedtls_x509_crt chain;
        mbedtls_pk_context key;
    } * pairs;
};

struct tls_session {
    struct list node; /* client->sessions */
    mbedtls_ssl_session session;
    unsigned refs; /* the list's, and links that offer it; the loop's thread only */
    uint16_t port;
    size_t host_len;
    char host[];
};

struct tls_client {
    mbedtls_ssl_config conf;
    mbedtls_x509_crt cas;
    char *ca_file; /* NULL: the system's */
    bool loaded;   /* written and read with the crew, by one step at a time */
    unsigned session_count;
    struct list sessions; /* most recently kept first; the loop's thread only */
};

/* With the crew: reads the CAs if that was not done yet. False with a text. */
bool tls_client_load(struct tls_client *client, char *err, size_t err_cap);

/* A reference, or NULL when there is none to offer. */
struct tls_session *tls_session_find(struct tls_client *client, struct str host, uint16_t port);
/* An empty one that belongs to the caller. Any thread. */
struct tls_session *tls_session_new(struct str host, uint16_t port);
/* Replaces what is kept for its host and port; takes the reference. */
void tls_session_keep(struct tls_client *client, struct tls_session *session);
/* It did not work: forgotten. The caller's reference stays. */
void tls_session_forget(struct tls_client *client, struct tls_session *session);
void tls_session_drop(struct tls_session *session); /* gives a reference back; NULL is fine */

#endif
