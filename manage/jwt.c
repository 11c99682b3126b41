#include "manage/jwt.h"

#include "base/str.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#define RSA_BYTES_MIN 256u /* 2048 bits */
#define RSA_BYTES_MAX 1024u
#define P256_BYTES 32u
#define KEYS_MAX 64u

const char *const jwt_result_text[JWT_RESULT_COUNT] = {
    [JWT_OK] = "it is good",
    [JWT_MALFORMED] = "it is no token",
    [JWT_ALGORITHM] = "it is signed by another algorithm than RS256 or ES256",
    [JWT_NO_KEY] = "the provider has no such key",
    [JWT_SIGNATURE] = "its signature is wrong",
    [JWT_ISSUER] = "it is of another issuer",
    [JWT_AUDIENCE] = "it is for somebody else",
    [JWT_EXPIRED] = "its time is over",
    [JWT_EARLY] = "its time has not come",
    [JWT_NONCE] = "it belongs to another sign-in",
    [JWT_SUBJECT] = "it names nobody",
};

void
base64url(const void *bytes, size_t len, char *out)
{
    sodium_bin2base64(out, (len * 4 + 2) / 3 + 1, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* False unless all of it is base64url without padding. */
static bool
decode(struct str text, struct arena *arena, struct str *out)
{
    size_t cap = text.len / 4 * 3 + 3, len = 0;
    uint8_t *bytes = arena_alloc(arena, cap);

    if (bytes == NULL || text.len == 0 ||
        sodium_base642bin(bytes, cap, text.ptr, text.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    *out = (struct str){(const char *)bytes, len};
    return true;
}

static bool
decode_member(struct js_value object, const char *name, struct arena *arena, struct str *out)
{
    struct js_value value = js_get(object, str_from(name));

    return js_is(value, JS_STRING) && !value.escaped && value.raw.len <= 4096 &&
           decode(value.raw, arena, out);
}

/* ---- DER, as little as it takes ---- */

struct der {
    uint8_t bytes[RSA_BYTES_MAX + 128];
    size_t len;
};

static void
der_add(struct der *der, const void *bytes, size_t len)
{
    ASSERT(len <= sizeof(der->bytes) - der->len);
    memcpy(der->bytes + der->len, bytes, len);
    der->len += len;
}

static void
der_head(struct der *der, uint8_t tag, size_t len)
{
    uint8_t head[4] = {tag, (uint8_t)len};
    size_t head_len = 2;

    if (len >= 0x100) {
        head[1] = 0x82;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        head_len = 4;
    } else if (len >= 0x80) {
        head[1] = 0x81;
        head[2] = (uint8_t)len;
        head_len = 3;
    }
    der_add(der, head, head_len);
}

static void
der_wrap(struct der *der, uint8_t tag, const struct der *inner)
{
    der_head(der, tag, inner->len);
    der_add(der, inner->bytes, inner->len);
}

/* An unsigned number: no zeros before it but the one that keeps it positive. */
static void
der_number(struct der *der, struct str n)
{
    bool pad;

    while (n.len > 1 && n.ptr[0] == 0)
        n.ptr++, n.len--;
    pad = (uint8_t)n.ptr[0] >= 0x80;
    der_head(der, 0x02, n.len + pad);
    if (pad)
        der_add(der, "", 1);
    der_add(der, n.ptr, n.len);
}

/* ---- keys: as a SubjectPublicKeyInfo, which every mbedTLS reads the same ---- */

static bool
rsa_key(struct js_value jwk, struct arena *arena, struct der *out)
{
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    struct der numbers = {.len = 0}, pair = {.len = 0}, bits = {.len = 0}, all = {.len = 0};
    struct str n, e;

    if (!decode_member(jwk, "n", arena, &n) || !decode_member(jwk, "e", arena, &e))
        return false;
    while (n.len > 0 && n.ptr[0] == 0)
        n.ptr++, n.len--;
    if (n.len < RSA_BYTES_MIN || n.len > RSA_BYTES_MAX || e.len == 0 || e.len > 8)
        return false;
    der_number(&numbers, n);
    der_number(&numbers, e);
    der_wrap(&pair, 0x30, &numbers);
    der_add(&bits, "", 1); /* no bits unused */
    der_add(&bits, pair.bytes, pair.len);
    der_add(&all, algorithm, sizeof(algorithm));
    der_wrap(&all, 0x03, &bits);
    der_wrap(out, 0x30, &all);
    return true;
}

static bool
p256_key(struct js_value jwk, struct arena *arena, struct der *out)
{
    static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
    struct str x, y;

    if (!js_str_eq(js_get(jwk, STR("crv")), STR("P-256")) || !decode_member(jwk, "x", arena, &x) ||
        !decode_member(jwk, "y", arena, &y) || x.len != P256_BYTES || y.len != P256_BYTES)
        return false;
    der_add(out, head, sizeof(head));
    der_add(out, x.ptr, x.len);
    der_add(out, y.ptr, y.len);
    return true;
}

/* ---- the signature ---- */

struct signature {
    bool elliptic; /* ES256; else RS256 */
    struct str kid; /* of the token; STR_NONE: it names no key */
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct str bytes;
};

static bool
key_fits(struct js_value jwk, const struct signature *signature)
{
    struct js_value alg = js_get(jwk, STR("alg")), use = js_get(jwk, STR("use")),
                    kid = js_get(jwk, STR("kid"));

    return js_is(jwk, JS_OBJECT) &&
           js_str_eq(js_get(jwk, STR("kty")), signature->elliptic ? STR("EC") : STR("RSA")) &&
           (js_is(alg, JS_NONE) ||
            js_str_eq(alg, signature->elliptic ? STR("ES256") : STR("RS256"))) &&
           (js_is(use, JS_NONE) || js_str_eq(use, STR("sig"))) &&
           (signature->kid.ptr == NULL || js_str_eq(kid, signature->kid));
}

/* ES256's two numbers as the sequence that mbedTLS wants. */
static bool
signature_der(const struct signature *signature, struct der *out)
{
    struct der numbers = {.len = 0};

    if (!signature->elliptic) {
        if (signature->bytes.len > RSA_BYTES_MAX)
            return false;
        der_add(out, signature->bytes.ptr, signature->bytes.len);
        return true;
    }
    if (signature->bytes.len != 2 * P256_BYTES)
        return false;
    der_number(&numbers, (struct str){signature->bytes.ptr, P256_BYTES});
    der_number(&numbers, (struct str){signature->bytes.ptr + P256_BYTES, P256_BYTES});
    der_wrap(out, 0x30, &numbers);
    return true;
}

static bool
signed_by(struct js_value jwk, const struct signature *signature, struct arena *arena)
{
    struct der key = {.len = 0}, der = {.len = 0};
    mbedtls_pk_context pk;
    bool ok = signature->elliptic ? p256_key(jwk, arena, &key) : rsa_key(jwk, arena, &key);

    if (!ok || !signature_der(signature, &der))
        return false;
    mbedtls_pk_init(&pk);
    ok = mbedtls_pk_parse_public_key(&pk, key.bytes, key.len) == 0 &&
         mbedtls_pk_can_do(&pk, signature->elliptic ? MBEDTLS_PK_ECDSA : MBEDTLS_PK_RSA) &&
         mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA256, signature->hash, sizeof(signature->hash),
                           der.bytes, der.len) == 0;
    mbedtls_pk_free(&pk);
    return ok;
}

static enum jwt_result
signed_by_any(struct js_value jwks, const struct signature *signature, struct arena *arena)
{
    struct js_value keys = js_get(jwks, STR("keys")), name, jwk;
    unsigned fitting = 0;
    struct js_iter it;

    for (js_iter_init(&it, keys); js_next(&it, &name, &jwk) && fitting < KEYS_MAX;) {
        if (!key_fits(jwk, signature))
            continue;
        fitting++;
        if (signed_by(jwk, signature, arena))
            return JWT_OK;
    }
    return fitting > 0 ? JWT_SIGNATURE : JWT_NO_KEY;
}

/* ---- the token ---- */

static bool
decode_object(struct str part, struct arena *arena, struct js_value *out)
{
    struct js_error err;
    struct str json;

    return decode(part, arena, &json) && js_check(json, out, &err) && js_is(*out, JS_OBJECT);
}

static enum jwt_result
read_header(struct js_value header, struct arena *arena, struct signature *signature)
{
    struct js_value alg = js_get(header, STR("alg")), kid = js_get(header, STR("kid"));
    char *text;

    /* What must be understood and is not, and keys that a token brings along, are no grounds to trust it. */
    if (!js_is(js_get(header, STR("crit")), JS_NONE) || !js_is(js_get(header, STR("b64")), JS_NONE))
        return JWT_MALFORMED;
    signature->elliptic = js_str_eq(alg, STR("ES256"));
    if (!signature->elliptic && !js_str_eq(alg, STR("RS256")))
        return JWT_ALGORITHM;
    if (js_is(kid, JS_NONE))
        return JWT_OK;
    text = arena_alloc(arena, kid.raw.len + 1);
    if (!js_is(kid, JS_STRING) || text == NULL)
        return JWT_MALFORMED;
    signature->kid = js_unescape(kid, text, kid.raw.len + 1);
    return JWT_OK;
}

enum jwt_result
jwt_verify(struct str token, struct js_value jwks, struct arena *arena, struct js_value *claims)
{
    struct str head, payload, rest, sealed;
    struct signature signature = {.kid = STR_NONE};
    struct js_value header;
    enum jwt_result result;

    if (token.len > JWT_LEN_MAX)
        return JWT_MALFORMED;
    head = str_split(token, '.', &rest);
    payload = str_split(rest, '.', &sealed);
    if (rest.ptr == NULL || sealed.ptr == NULL || !decode_object(head, arena, &header))
        return JWT_MALFORMED;
    result = read_header(header, arena, &signature);
    if (result != JWT_OK)
        return result;
    if (!decode(sealed, arena, &signature.bytes) || !decode_object(payload, arena, claims))
        return JWT_MALFORMED;
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (psa_crypto_init() != PSA_SUCCESS) /* once is enough, and more does no harm */
        return JWT_SIGNATURE;
#endif
    crypto_hash_sha256(signature.hash, (const uint8_t *)token.ptr, head.len + 1 + payload.len);
    return signed_by_any(jwks, &signature, arena);
}

/* ---- its claims ---- */

static bool
audience_ok(struct js_value claims, struct str audience)
{
    struct js_value aud = js_get(claims, STR("aud")), azp = js_get(claims, STR("azp")), name, one;
    unsigned count = 0;
    bool found = false;
    struct js_iter it;

    if (!js_is(azp, JS_NONE) && !js_str_eq(azp, audience))
        return false;
    if (js_is(aud, JS_STRING))
        return js_str_eq(aud, audience);
    if (!js_is(aud, JS_ARRAY))
        return false;
    for (js_iter_init(&it, aud); js_next(&it, &name, &one); count++)
        found = found || js_str_eq(one, audience);
    /* For several: whom it was made for has to be said. */
    return found && (count == 1 || !js_is(azp, JS_NONE));
}

/* Seconds; a fraction, which RFC 7519 allows, is cut. */
static bool
seconds(struct js_value claims, const char *name, int64_t *out)
{
    struct js_value value = js_get(claims, str_from(name));
    uint64_t n;

    if (!js_is(value, JS_NUMBER) ||
        !str_to_u64((struct str){value.raw.ptr, str_find(value.raw, '.', 0)}, &n) ||
        n > (uint64_t)INT64_MAX / 2)
        return false;
    *out = (int64_t)n;
    return true;
}

static bool
same(struct js_value value, struct str want)
{
    return js_is(value, JS_STRING) && !value.escaped && value.raw.len == want.len && want.len > 0 &&
           sodium_memcmp(value.raw.ptr, want.ptr, want.len) == 0;
}

enum jwt_result
jwt_check(struct js_value claims, const struct jwt_wanted *wanted)
{
    struct js_value sub = js_get(claims, STR("sub"));
    int64_t expires_s, begins_s;

    if (!js_str_eq(js_get(claims, STR("iss")), wanted->issuer))
        return JWT_ISSUER;
    if (!audience_ok(claims, wanted->audience))
        return JWT_AUDIENCE;
    if (!seconds(claims, "exp", &expires_s) || wanted->now_s - JWT_SKEW_S >= expires_s)
        return JWT_EXPIRED;
    if (!seconds(claims, "iat", &begins_s) || begins_s > wanted->now_s + JWT_SKEW_S)
        return JWT_EARLY;
    if (!js_is(js_get(claims, STR("nbf")), JS_NONE) &&
        (!seconds(claims, "nbf", &begins_s) || begins_s > wanted->now_s + JWT_SKEW_S))
        return JWT_EARLY;
    if (!same(js_get(claims, STR("nonce")), wanted->nonce))
        return JWT_NONCE;
    return js_is(sub, JS_STRING) && sub.raw.len > 0 && sub.raw.len <= 255 ? JWT_OK : JWT_SUBJECT;
}
