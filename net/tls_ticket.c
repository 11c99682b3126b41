/*
 * Session tickets whose keys every worker can derive: no shared state, no lock, and a worker
 * that restarts reads the tickets of the one before.
 *
 * Time is cut in epochs of 12 hours by the wall clock. The key of an epoch is a keyed hash of
 * its number with a secret that the parent made before it forked, and is derived anew for each
 * ticket: two hashes, a microsecond. Tickets are sealed with the current epoch's key and opened
 * with that or the one before, so one lives for 12 to 24 hours; a client is told 12.
 *
 *   ticket = epoch (4) | nonce (12) | AES-256-GCM(session) | tag (16)     epoch is authenticated
 */
#include "net/tls_lib.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"

#include <mbedtls/gcm.h>
#include <string.h>

#define EPOCH_S (12 * 3600)
#define EPOCH_LEN 4u
#define NONCE_LEN 12u
#define HEAD_LEN (EPOCH_LEN + NONCE_LEN)
#define TAG_LEN 16u
_Static_assert(HASH_KEY_LEN == TLS_TICKET_SECRET_LEN, "the secret keys the hash");

/* The library does not say which connection a ticket belongs to; but one handshake step runs
 * on a thread at a time. */
static _Thread_local bool took;

static uint32_t
epoch_now(void)
{
    return (uint32_t)(clock_wall_us() / 1000000 / EPOCH_S);
}

static int
gcm_start(const struct tls_tickets *tickets, uint32_t epoch, mbedtls_gcm_context *gcm)
{
    static const char label[] = "net.tls.ticket.1";
    uint8_t text[sizeof(label) + sizeof(epoch)];
    uint8_t key[HASH_LEN];
    int rc;

    memcpy(text, label, sizeof(label));
    memcpy(text + sizeof(label), &epoch, sizeof(epoch));
    hash_keyed(tickets->secret, text, sizeof(text), key);
    mbedtls_gcm_init(gcm);
    rc = mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key, 8 * HASH_LEN);
    explicit_bzero(key, sizeof(key));
    return rc;
}

static int
ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
             const unsigned char *end, size_t *len, uint32_t *lifetime_s)
{
    const struct tls_tickets *tickets = arg;
    uint32_t epoch = epoch_now();
    mbedtls_gcm_context gcm;
    size_t plain_len = 0;
    uint8_t *body = start + HEAD_LEN;
    int rc;

    if ((size_t)(end - start) < HEAD_LEN + TAG_LEN)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    rc = mbedtls_ssl_session_save(session, body, (size_t)(end - body) - TAG_LEN, &plain_len);
    if (rc != 0)
        return rc;
    memcpy(start, &epoch, EPOCH_LEN);
    rng_bytes(start + EPOCH_LEN, NONCE_LEN);
    rc = gcm_start(tickets, epoch, &gcm);
    if (rc == 0)
        rc = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, plain_len, start + EPOCH_LEN,
                                       NONCE_LEN, start, EPOCH_LEN, body, body, TAG_LEN,
                                       body + plain_len);
    mbedtls_gcm_free(&gcm);
    if (rc != 0)
        return rc;
    *len = HEAD_LEN + plain_len + TAG_LEN;
    *lifetime_s = EPOCH_S;
    return 0;
}

static int
ticket_read(void *arg, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
    const struct tls_tickets *tickets = arg;
    mbedtls_gcm_context gcm;
    uint32_t epoch, now = epoch_now();
    size_t plain_len;
    int rc;

    if (len < HEAD_LEN + TAG_LEN)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    memcpy(&epoch, ticket, EPOCH_LEN);
    if (epoch != now && epoch + 1 != now)
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    plain_len = len - HEAD_LEN - TAG_LEN;
    rc = gcm_start(tickets, epoch, &gcm);
    if (rc == 0)
        rc = mbedtls_gcm_auth_decrypt(&gcm, plain_len, ticket + EPOCH_LEN, NONCE_LEN, ticket,
                                      EPOCH_LEN, ticket + HEAD_LEN + plain_len, TAG_LEN,
                                      ticket + HEAD_LEN, ticket + HEAD_LEN);
    mbedtls_gcm_free(&gcm);
    /* Somebody else's or an old secret's: the client just gets a full handshake. */
    if (rc != 0)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    rc = mbedtls_ssl_session_load(session, ticket + HEAD_LEN, plain_len);
    took = rc == 0;
    return rc;
}

void
tls_tickets_configure(struct tls_tickets *tickets, mbedtls_ssl_config *conf)
{
    mbedtls_ssl_conf_session_tickets_cb(conf, ticket_write, ticket_read, tickets);
}

bool
tls_tickets_took(void)
{
    bool was = took;

    took = false;
    return was;
}
