/*
 * TLS, narrowly: no type of the TLS library shows here. TLS 1.2, and 1.3 where the library has
 * it; never below. Contexts are made once and outlive their connections; handshakes run
 * beside the loop, records on it. The faster of AES-128-GCM and ChaCha20-Poly1305, measured
 * once a process, is preferred on both sides. All in the worker, after the fork.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/base.h"

#define TLS_ERROR_TEXT 256
#define TLS_TICKET_SECRET_LEN 32

/* One name's identity, in PEM. The chain starts with the certificate itself. */
struct tls_identity {
    struct str chain_pem;
    struct str key_pem;
};

struct tls_server_options {
    /*
     * The first is the default; else the one whose certificate has the name that the client
     * asked for (subject alternative names, exact before wildcard).
     */
    const struct tls_identity *identities;
    unsigned identity_count;
    /*
     * The secret that session tickets' keys are derived from: made before the fork, so that all
     * workers read each other's tickets. Keys change every 12 h by the wall clock; the one
     * before is still read. NULL: no tickets.
     */
    const uint8_t *ticket_secret;
};

struct tls_server;
struct tls_client;

/*
 * Parses identities (PEM bytes may go after); NULL with a reason in err (TLS_ERROR_TEXT bytes)
 * that names which one, by number from 1: not PEM, key does not match, … ALPN is http/1.1.
 */
struct tls_server *tls_server_new(const struct tls_server_options *options, char *err) MUST_CHECK;
/* No connection of it may be left. NULL is fine. */
void tls_server_free(struct tls_server *server);
/* Only checks: as tls_server_new(), keeps nothing. For checking a configuration. */
bool MUST_CHECK tls_identity_check(const struct tls_identity *identity, char *err);

struct tls_client_options {
    const char *ca_file; /* PEM; NULL: the system's. Read at the first handshake, beside the loop */
};

/*
 * A client context: verifies chain and host (names; addresses by IP alternative names), keeps
 * sessions to resume by host and port (at most 256). NULL when out of memory.
 */
struct tls_client *tls_client_new(const struct tls_client_options *options) MUST_CHECK;
void tls_client_free(struct tls_client *client);

/* Until when certificates hold. */
struct tls_dates {
    int64_t begin_s, end_s; /* of the wall clock: the latest beginning, the earliest end */
    char name[128];         /* whose that end is */
    unsigned count;         /* certificates */
};
/* Of a chain in PEM. False: it cannot be read. */
bool MUST_CHECK tls_chain_dates(struct str chain_pem, struct tls_dates *out);
/* Calls name() for each that the chain's first certificate is for: host names, addresses as text; when it names
 * none so, its subject. False: it cannot be read. */
bool MUST_CHECK tls_chain_names(struct str chain_pem, void (*name)(void *arg, struct str text), void *arg);

/* What the other side of a connection has shown. */
struct tls_peer {
    char version[16]; /* "TLSv1.3" */
    struct tls_dates dates; /* count 0: it showed no certificate */
};

/* What the measurement said, for logs: "AES-128-GCM" or "ChaCha20-Poly1305". Measures if needed. */
const char *tls_cipher_preferred(void);
/* "TLSv1.3" when the library has it, else "TLSv1.2". */
const char *tls_version_max(void);

#endif
