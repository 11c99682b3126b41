/* TLS by mbedTLS, straight: blocking nothing, one context a connection, tickets for resumption. */
#include "mock/sim.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The configuration is a struct tls without a connection: fd is -1 and ssl unused. */
struct tls {
    mbedtls_ssl_context ssl;
    int fd;
    bool ready;
    const char *version, *suite; /* once ready */
    size_t write_len; /* of the write that the socket refused: mbedTLS wants the same again */
};

static mbedtls_ssl_config config;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_x509_crt chain;
static mbedtls_pk_context key;
static mbedtls_ssl_ticket_context tickets;

static int
on_ticket_parse(void *p, mbedtls_ssl_session *session, unsigned char *buf, size_t len)
{
    int rc = mbedtls_ssl_ticket_parse(p, session, buf, len);

    if (rc == 0)
        stats.tls_resumed++;
    return rc;
}

struct tls *
tls_config_new(const char *cert_file, const char *key_file)
{
    mbedtls_ssl_config_init(&config);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&key);
    mbedtls_ssl_ticket_init(&tickets);
#if MBEDTLS_VERSION_MAJOR >= 3
    if (psa_crypto_init() != PSA_SUCCESS)
        return NULL;
#endif
    int rc = mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0);
    if (rc == 0)
        rc = mbedtls_x509_crt_parse_file(&chain, cert_file);
    if (rc == 0)
#if MBEDTLS_VERSION_MAJOR >= 3
        rc = mbedtls_pk_parse_keyfile(&key, key_file, NULL, mbedtls_ctr_drbg_random, &drbg);
#else
        rc = mbedtls_pk_parse_keyfile(&key, key_file, NULL);
#endif
    if (rc == 0)
        rc = mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER,
                                         MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (rc == 0)
        rc = mbedtls_ssl_conf_own_cert(&config, &chain, &key);
    if (rc == 0)
        rc = mbedtls_ssl_ticket_setup(&tickets, mbedtls_ctr_drbg_random, &drbg,
                                      MBEDTLS_CIPHER_AES_256_GCM, 86400);
    if (rc != 0) {
        fprintf(stderr, "turnpike: mock: certificate or key: -0x%04x\n", (unsigned)-rc);
        return NULL;
    }
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
    mbedtls_ssl_conf_session_tickets_cb(&config, mbedtls_ssl_ticket_write, on_ticket_parse,
                                        &tickets);
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls != NULL)
        tls->fd = -1;
    return tls;
}

static int
on_send(void *arg, const unsigned char *bytes, size_t len)
{
    const struct tls *tls = arg;
    ssize_t n = send(tls->fd, bytes, len, MSG_NOSIGNAL);

    if (n >= 0)
        return (int)n;
    return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int
on_recv(void *arg, unsigned char *bytes, size_t cap)
{
    const struct tls *tls = arg;
    ssize_t n = recv(tls->fd, bytes, cap, 0);

    if (n >= 0)
        return (int)n;
    return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

struct tls *
tls_conn_new(struct tls *unused_config, int fd)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    (void)unused_config;
    if (tls == NULL)
        return NULL;
    tls->fd = fd;
    mbedtls_ssl_init(&tls->ssl);
    if (mbedtls_ssl_setup(&tls->ssl, &config) != 0) {
        tls_conn_free(tls);
        return NULL;
    }
    mbedtls_ssl_set_bio(&tls->ssl, tls, on_send, on_recv, NULL);
    return tls;
}

void
tls_conn_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    if (tls->ready)
        (void)mbedtls_ssl_close_notify(&tls->ssl);
    mbedtls_ssl_free(&tls->ssl);
    free(tls);
}

static long
tls_rc(int rc)
{
    if (rc >= 0)
        return rc;
    if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
        return -EAGAIN;
    if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || rc == MBEDTLS_ERR_SSL_CONN_EOF)
        return 0;
    return -EPROTO;
}

static long
tls_shake(struct tls *tls)
{
    int rc;

    if (tls->ready)
        return 0;
    rc = mbedtls_ssl_handshake(&tls->ssl);
    if (rc == 0) {
        tls->ready = true;
        tls->version = mbedtls_ssl_get_version(&tls->ssl);
        tls->suite = mbedtls_ssl_get_ciphersuite(&tls->ssl);
        stats.tls_handshakes++;
        return 0;
    }
    long answer = tls_rc(rc);
    if (answer == -EAGAIN)
        return answer;
    stats.tls_failed++;
    return -EPROTO;
}

const char *
tls_version(const struct tls *tls)
{
    return tls != NULL ? tls->version : NULL;
}

const char *
tls_suite(const struct tls *tls)
{
    return tls != NULL ? tls->suite : NULL;
}

long
tls_read(struct tls *tls, void *bytes, size_t cap)
{
    long rc = tls_shake(tls);

    return rc != 0 ? rc : tls_rc(mbedtls_ssl_read(&tls->ssl, bytes, cap));
}

long
tls_write(struct tls *tls, const void *bytes, size_t len)
{
    long rc = tls_shake(tls);

    if (rc != 0)
        return rc;
    if (tls->write_len != 0)
        len = MIN(len, tls->write_len);
    rc = tls_rc(mbedtls_ssl_write(&tls->ssl, bytes, len));
    tls->write_len = rc == -EAGAIN ? len : 0;
    return rc;
}
