/*
 * What both sides of TLS share: versions, ciphers, groups, random numbers, error texts.
 *
 * Ciphers. Which of AES-128-GCM and ChaCha20-Poly1305 is faster depends on the processor and on
 * how the library was built (Debian 12's seals 170 MB/s with the one and 260 with the other on
 * a machine that has AES instructions), so it is measured: both seal the same blocks in turn for
 * a millisecond, the best round of each counts. With TLS 1.2 a server's order decides; with 1.3 the
 * library follows the client's, so tls_link.c looks into the hello first.
 *
 * Groups. The library's own order begins with the slowest curves. P-256 and X25519 cost about the
 * same (1.6 and 1.3 ms with 2.28, 1.0 and 1.2 ms with 3.6, a key made and a secret agreed); P-256
 * goes first, since TLS 1.3 servers must have it, so that our one key share fits everywhere.
 */
#include "net/tls_lib.h"

#include "base/clock.h"
#include "base/rng.h"

#include <mbedtls/chachapoly.h>
#include <mbedtls/gcm.h>
#if TLS_LIB_3
#include <psa/crypto.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <string.h>

const char *tls_alpn[2] = {"http/1.1", NULL};

#define SUITES_12_CHACHA                                                                           \
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,                                         \
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
#define SUITES_12_AES                                                                              \
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
#define SUITES_12_REST                                                                             \
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384

#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define SUITES_13_CHACHA MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
#define SUITES_13_AES MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
#define SUITES_13_REST MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#else
#define SUITES_13_CHACHA
#define SUITES_13_AES
#define SUITES_13_REST
#endif

static const int suites_chacha_first[] = {
    SUITES_13_CHACHA SUITES_13_AES SUITES_13_REST SUITES_12_CHACHA, SUITES_12_AES, SUITES_12_REST,
    0};
static const int suites_aes_first[] = {SUITES_13_AES SUITES_13_CHACHA SUITES_13_REST SUITES_12_AES,
                                       SUITES_12_CHACHA, SUITES_12_REST, 0};

static const int suites_chacha_only[] = {SUITES_13_CHACHA SUITES_12_CHACHA, SUITES_12_AES,
                                         SUITES_12_REST, 0};
static const int suites_aes_only[] = {SUITES_13_AES SUITES_12_AES, SUITES_12_CHACHA, SUITES_12_REST,
                                      0};

#if TLS_LIB_3
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
#else
static const mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
                                              MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1,
                                              MBEDTLS_ECP_DP_NONE};
#endif

static pthread_once_t lib_once = PTHREAD_ONCE_INIT;
static bool chacha_faster;

/* ---- measuring ---------------------------------------------------------------------------- */

#define MEASURE_BYTES 4096u
#define MEASURE_ROUNDS 24u

static uint64_t
seal_gcm_ns(const uint8_t *plain, uint8_t *sealed)
{
    static const uint8_t key[16] = {1}, nonce[12] = {2};
    uint8_t tag[16];
    mbedtls_gcm_context gcm;
    uint64_t start;

    mbedtls_gcm_init(&gcm);
    (void)mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128);
    start = clock_mono_ns();
    (void)mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, MEASURE_BYTES, nonce, sizeof(nonce),
                                    NULL, 0, plain, sealed, sizeof(tag), tag);
    start = clock_mono_ns() - start;
    mbedtls_gcm_free(&gcm);
    return start;
}

static uint64_t
seal_chacha_ns(const uint8_t *plain, uint8_t *sealed)
{
    static const uint8_t key[32] = {1}, nonce[12] = {2};
    uint8_t tag[16];
    mbedtls_chachapoly_context chacha;
    uint64_t start;

    mbedtls_chachapoly_init(&chacha);
    (void)mbedtls_chachapoly_setkey(&chacha, key);
    start = clock_mono_ns();
    (void)mbedtls_chachapoly_encrypt_and_tag(&chacha, MEASURE_BYTES, nonce, NULL, 0, plain, sealed,
                                             tag);
    start = clock_mono_ns() - start;
    mbedtls_chachapoly_free(&chacha);
    return start;
}

static void
lib_init(void)
{
    uint8_t plain[MEASURE_BYTES], sealed[MEASURE_BYTES];
    uint64_t gcm_ns = UINT64_MAX, chacha_ns = UINT64_MAX;

#if TLS_LIB_3 && defined(MBEDTLS_PSA_CRYPTO_C)
    ASSERT(psa_crypto_init() == PSA_SUCCESS);
#endif
    memset(plain, 'x', sizeof(plain));
    for (unsigned i = 0; i < MEASURE_ROUNDS; i++) {
        uint64_t gcm = seal_gcm_ns(plain, sealed);
        uint64_t chacha = seal_chacha_ns(plain, sealed);

        gcm_ns = MIN(gcm_ns, gcm);
        chacha_ns = MIN(chacha_ns, chacha);
    }
    chacha_faster = chacha_ns < gcm_ns;
}

void
tls_lib_once(void)
{
    (void)pthread_once(&lib_once, lib_init);
}

const char *
tls_cipher_preferred(void)
{
    tls_lib_once();
    return chacha_faster ? "ChaCha20-Poly1305" : "AES-128-GCM";
}

const char *
tls_version_max(void)
{
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    return "TLSv1.3";
#else
    return "TLSv1.2";
#endif
}

/* ---- configuring -------------------------------------------------------------------------- */

int
tls_lib_random(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    rng_bytes(out, len);
    return 0;
}

int
tls_lib_configure(mbedtls_ssl_config *conf, int endpoint)
{
    int rc;

    tls_lib_once();
    rc = mbedtls_ssl_config_defaults(conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT);
    if (rc != 0)
        return rc;
    mbedtls_ssl_conf_rng(conf, tls_lib_random, NULL);
    mbedtls_ssl_conf_ciphersuites(conf, chacha_faster ? suites_chacha_first : suites_aes_first);
#if TLS_LIB_3
    mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_groups(conf, groups);
#else
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(conf, groups);
#endif
    return mbedtls_ssl_conf_alpn_protocols(conf, tls_alpn);
}

unsigned
tls_lib_suite_fast(void)
{
    tls_lib_once();
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    return chacha_faster ? MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256
                         : MBEDTLS_TLS1_3_AES_128_GCM_SHA256;
#else
    return 0;
#endif
}

void
tls_lib_configure_fast(mbedtls_ssl_config *conf)
{
    tls_lib_once();
    mbedtls_ssl_conf_ciphersuites(conf, chacha_faster ? suites_chacha_only : suites_aes_only);
}

void
tls_lib_error_text(int error, char *out, size_t cap)
{
    mbedtls_strerror(error, out, cap);
    if (out[0] == '\0')
        (void)snprintf(out, cap, "TLS error -0x%04x", (unsigned)-error);
}
