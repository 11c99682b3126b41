#include "bench/load/link.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define BLOCKING_READ_S 10
/* The system looks for a port ever longer as those of an address are taken: then the next one. */
#define LINKS_AN_ADDRESS 8192
#define ADDRESSES_MAX 64

static mbedtls_ssl_config tls_config;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static char negotiated[96];

bool
link_tls_init(void)
{
    mbedtls_ssl_config_init(&tls_config);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
#if MBEDTLS_VERSION_MAJOR >= 3
    if (psa_crypto_init() != PSA_SUCCESS)
        return false;
#endif
    if (mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_ssl_config_defaults(&tls_config, MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_authmode(&tls_config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&tls_config, mbedtls_ctr_drbg_random, &drbg);
    return true;
}

void
link_init(struct link *l)
{
    *l = (struct link){.state = LINK_CLOSED, .fd = -1};
}

static int
on_send(void *arg, const unsigned char *bytes, size_t len)
{
    const struct link *l = arg;
    ssize_t n = send(l->fd, bytes, len, MSG_NOSIGNAL);

    if (n >= 0)
        return (int)n;
    return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int
on_recv(void *arg, unsigned char *bytes, size_t cap)
{
    const struct link *l = arg;
    ssize_t n = recv(l->fd, bytes, cap, 0);

    if (n >= 0)
        return (int)n;
    return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int
tls_attach(struct link *l, const char *host)
{
    l->ssl = malloc(sizeof(*l->ssl));
    if (l->ssl == NULL)
        return -ENOMEM;
    mbedtls_ssl_init(l->ssl);
    if (mbedtls_ssl_setup(l->ssl, &tls_config) != 0 || mbedtls_ssl_set_hostname(l->ssl, host) != 0)
        return -ENOMEM;
    mbedtls_ssl_set_bio(l->ssl, l, on_send, on_recv, NULL);
    return 0;
}

/* The first ones come from where the system would have them come. */
static void
source_choose(int fd)
{
    static unsigned opened;
    unsigned n = opened++ / LINKS_AN_ADDRESS % ADDRESSES_MAX;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + n)};
    int on = 1;

    if (n == 0)
        return;
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    (void)bind(fd, (const struct sockaddr *)&from, sizeof(from));
}

int
link_open(struct link *l, const struct sockaddr_in *to, const char *host, bool tls, bool blocking)
{
    struct timeval limit = {.tv_sec = BLOCKING_READ_S};
    int on = 1, rc;

    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    if (l->fd < 0)
        return -errno;
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    source_choose(l->fd);
    if (blocking)
        (void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    rc = tls ? tls_attach(l, host) : 0;
    if (rc == 0 && connect(l->fd, (const struct sockaddr *)to, sizeof(*to)) < 0 &&
        errno != EINPROGRESS)
        rc = -errno;
    l->state = LINK_CONNECTING;
    if (rc < 0)
        link_close(l);
    return rc;
}

static int
tls_rc(int rc)
{
    if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
        return -EAGAIN;
    if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || rc == MBEDTLS_ERR_SSL_CONN_EOF)
        return 0;
    return rc < 0 ? -EPROTO : rc;
}

static void
negotiated_keep(const struct link *l)
{
    if (negotiated[0] == '\0')
        (void)snprintf(negotiated, sizeof(negotiated), "%s %s", mbedtls_ssl_get_version(l->ssl),
                       mbedtls_ssl_get_ciphersuite(l->ssl));
}

int
link_advance(struct link *l, bool failed)
{
    if (failed)
        return -ECONNREFUSED;
    if (l->state == LINK_CONNECTING)
        l->state = l->ssl != NULL ? LINK_SHAKING : LINK_READY;
    if (l->state == LINK_SHAKING) {
        int rc = mbedtls_ssl_handshake(l->ssl);

        if (rc != 0)
            return tls_rc(rc) == -EAGAIN ? -EAGAIN : -EPROTO;
        negotiated_keep(l);
        l->state = LINK_READY;
    }
    return 0;
}

ssize_t
link_send(struct link *l, const char *bytes, size_t len)
{
    if (l->ssl != NULL)
        return tls_rc(mbedtls_ssl_write(l->ssl, (const unsigned char *)bytes, len));
    ssize_t n = send(l->fd, bytes, len, MSG_NOSIGNAL);
    return n >= 0 ? n : -errno;
}

ssize_t
link_recv(struct link *l, char *bytes, size_t cap)
{
    if (l->ssl != NULL)
        return tls_rc(mbedtls_ssl_read(l->ssl, (unsigned char *)bytes, cap));
    ssize_t n = recv(l->fd, bytes, cap, 0);
    return n >= 0 ? n : -errno;
}

void
link_close(struct link *l)
{
    if (l->ssl != NULL) {
        if (l->state == LINK_READY)
            (void)mbedtls_ssl_close_notify(l->ssl);
        mbedtls_ssl_free(l->ssl);
        free(l->ssl);
    }
    if (l->fd >= 0)
        close(l->fd);
    link_init(l);
}

const char *
link_negotiated(void)
{
    return negotiated;
}
