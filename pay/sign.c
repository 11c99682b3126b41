#include "pay/sign.h"

#include <mbedtls/gcm.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#define RSA_BITS_MIN 2048u
#define RSA_BYTES_MAX 1024u
#define KEY_TEXT_MAX 16384u
#define GCM_TAG_LEN 16u
#define GCM_KEY_LEN 32u
#define GCM_NONCE_MAX 64u

/* ---- MACs ---- */

void
pay_sha256_hex(struct str secret, const struct str *parts, size_t count, char hex[PAY_SHA256_HEX_LEN + 1])
{
    crypto_auth_hmacsha256_state state;
    uint8_t mac[crypto_auth_hmacsha256_BYTES];

    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret.ptr, secret.len);
    for (size_t i = 0; i < count; i++)
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)parts[i].ptr, parts[i].len);
    crypto_auth_hmacsha256_final(&state, mac);
    str_hex(mac, sizeof(mac), hex);
    sodium_memzero(&state, sizeof(state));
}

void
pay_sha512_hex(struct str secret, const struct str *parts, size_t count, char hex[PAY_SHA512_HEX_LEN + 1])
{
    crypto_auth_hmacsha512_state state;
    uint8_t mac[crypto_auth_hmacsha512_BYTES];

    crypto_auth_hmacsha512_init(&state, (const unsigned char *)secret.ptr, secret.len);
    for (size_t i = 0; i < count; i++)
        crypto_auth_hmacsha512_update(&state, (const unsigned char *)parts[i].ptr, parts[i].len);
    crypto_auth_hmacsha512_final(&state, mac);
    str_hex(mac, sizeof(mac), hex);
    sodium_memzero(&state, sizeof(state));
}

/* Whichever case it is written in. */
static bool
is_mac(const char *wanted, size_t wanted_len, struct str hex)
{
    uint8_t a[PAY_SHA512_HEX_LEN / 2], b[PAY_SHA512_HEX_LEN / 2];

    return str_unhex(hex, a, wanted_len / 2) &&
           str_unhex((struct str){wanted, wanted_len}, b, wanted_len / 2) &&
           sodium_memcmp(a, b, wanted_len / 2) == 0;
}

bool
pay_is_sha256(struct str secret, const struct str *parts, size_t count, struct str hex)
{
    char wanted[PAY_SHA256_HEX_LEN + 1];

    pay_sha256_hex(secret, parts, count, wanted);
    return is_mac(wanted, PAY_SHA256_HEX_LEN, hex);
}

bool
pay_is_sha512(struct str secret, const struct str *parts, size_t count, struct str hex)
{
    char wanted[PAY_SHA512_HEX_LEN + 1];

    pay_sha512_hex(secret, parts, count, wanted);
    return is_mac(wanted, PAY_SHA512_HEX_LEN, hex);
}

/* ---- base64 ---- */

static bool
base64_bytes(struct str text, const char *ignore, uint8_t *out, size_t cap, size_t *len)
{
    const char *end;

    return text.len > 0 &&
           sodium_base642bin(out, cap, text.ptr, text.len, ignore, len, &end,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           end == text.ptr + text.len;
}

struct str
pay_unbase64(struct arena *arena, struct str text)
{
    size_t cap = text.len / 4 * 3 + 3, len;
    uint8_t *out = arena_alloc(arena, cap);

    if (out == NULL || !base64_bytes(text, NULL, out, cap, &len))
        return STR_NONE;
    return (struct str){(const char *)out, len};
}

/* ---- RSA ---- */

struct pay_rsa {
    mbedtls_pk_context pk;
};

static int
random_bytes(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    randombytes_buf(out, len);
    return 0;
}

/* With the NUL that PEM is read by. */
struct key_bytes {
    uint8_t at[KEY_TEXT_MAX + 1];
    size_t len;
};

static bool
key_bytes(struct str text, struct key_bytes *out)
{
    if (text.len > KEY_TEXT_MAX)
        return false;
    if (str_contains(text, STR("-----BEGIN"))) {
        memcpy(out->at, text.ptr, text.len);
        out->at[text.len] = '\0';
        out->len = text.len + 1;
        return true;
    }
    return base64_bytes(text, " \t\r\n", out->at, KEY_TEXT_MAX, &out->len);
}

static int
parse_private(mbedtls_pk_context *pk, const struct key_bytes *bytes)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (psa_crypto_init() != PSA_SUCCESS) /* once is enough, and more does no harm */
        return -1;
    return mbedtls_pk_parse_key(pk, bytes->at, bytes->len, NULL, 0, random_bytes, NULL);
#else
    return mbedtls_pk_parse_key(pk, bytes->at, bytes->len, NULL, 0);
#endif
}

static int
parse_public(mbedtls_pk_context *pk, const struct key_bytes *bytes)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (psa_crypto_init() != PSA_SUCCESS)
        return -1;
#endif
    return mbedtls_pk_parse_public_key(pk, bytes->at, bytes->len);
}

static struct pay_rsa *
rsa_read(struct str text, int (*parse)(mbedtls_pk_context *pk, const struct key_bytes *bytes), const char **why)
{
    struct pay_rsa *key = calloc(1, sizeof(*key));
    struct key_bytes *bytes = calloc(1, sizeof(*bytes));

    *why = "out of memory";
    if (key == NULL || bytes == NULL) {
        free(key);
        free(bytes);
        return NULL;
    }
    mbedtls_pk_init(&key->pk);
    *why = NULL;
    if (!key_bytes(text, bytes) || parse(&key->pk, bytes) != 0)
        *why = "neither PEM nor base64 of such a key";
    else if (!mbedtls_pk_can_do(&key->pk, MBEDTLS_PK_RSA))
        *why = "no RSA key";
    else if (mbedtls_pk_get_bitlen(&key->pk) < RSA_BITS_MIN ||
             mbedtls_pk_get_len(&key->pk) > RSA_BYTES_MAX)
        *why = "an RSA key of less than 2048 bits, or more than 8192";
    sodium_memzero(bytes, sizeof(*bytes));
    free(bytes);
    if (*why != NULL)
        pay_rsa_free(&key);
    return key;
}

struct pay_rsa *
pay_rsa_private(struct str text, const char **why)
{
    return rsa_read(text, parse_private, why);
}

struct pay_rsa *
pay_rsa_public(struct str text, const char **why)
{
    return rsa_read(text, parse_public, why);
}

void
pay_rsa_free(struct pay_rsa **key)
{
    if (*key == NULL)
        return;
    mbedtls_pk_free(&(*key)->pk);
    free(*key);
    *key = NULL;
}

static void
hash_parts(const struct str *parts, size_t count, uint8_t hash[crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256_state state;

    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < count; i++)
        crypto_hash_sha256_update(&state, (const unsigned char *)parts[i].ptr, parts[i].len);
    crypto_hash_sha256_final(&state, hash);
}

bool
pay_rsa_sign(struct pay_rsa *key, const struct str *parts, size_t count, struct buf *base64)
{
    uint8_t hash[crypto_hash_sha256_BYTES], signature[RSA_BYTES_MAX];
    char text[sodium_base64_ENCODED_LEN(RSA_BYTES_MAX, sodium_base64_VARIANT_ORIGINAL)];
    size_t len = 0;

    hash_parts(parts, count, hash);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (mbedtls_pk_sign(&key->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, sizeof(signature), &len,
                        random_bytes, NULL) != 0)
        return false;
#else
    if (mbedtls_pk_sign(&key->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, &len, random_bytes,
                        NULL) != 0)
        return false;
#endif
    sodium_bin2base64(text, sizeof(text), signature, len, sodium_base64_VARIANT_ORIGINAL);
    return buf_add_str(base64, str_from(text));
}

bool
pay_rsa_verify(struct pay_rsa *key, const struct str *parts, size_t count, struct str base64)
{
    uint8_t hash[crypto_hash_sha256_BYTES], signature[RSA_BYTES_MAX];
    size_t len;

    if (!base64_bytes(base64, NULL, signature, sizeof(signature), &len))
        return false;
    hash_parts(parts, count, hash);
    return mbedtls_pk_verify(&key->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, len) == 0;
}

/* ---- AES-256-GCM ---- */

struct str
pay_gcm_open(struct arena *arena, struct str key, struct str nonce, struct str associated, struct str base64)
{
    struct str sealed = pay_unbase64(arena, base64);
    mbedtls_gcm_context gcm;
    uint8_t *out;
    size_t len;
    bool ok;

    if (sealed.ptr == NULL || sealed.len < GCM_TAG_LEN || key.len != GCM_KEY_LEN || nonce.len == 0 ||
        nonce.len > GCM_NONCE_MAX)
        return STR_NONE;
    len = sealed.len - GCM_TAG_LEN;
    out = arena_alloc(arena, len + 1);
    if (out == NULL)
        return STR_NONE;
    mbedtls_gcm_init(&gcm);
    ok = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, (const unsigned char *)key.ptr, GCM_KEY_LEN * 8) == 0 &&
         mbedtls_gcm_auth_decrypt(&gcm, len, (const unsigned char *)nonce.ptr, nonce.len,
                                  (const unsigned char *)associated.ptr, associated.len,
                                  (const unsigned char *)sealed.ptr + len, GCM_TAG_LEN,
                                  (const unsigned char *)sealed.ptr, out) == 0;
    mbedtls_gcm_free(&gcm);
    return ok ? (struct str){(const char *)out, len} : STR_NONE;
}
