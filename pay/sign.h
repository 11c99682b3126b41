/*
 * What signatures are made of. Texts that are signed come in parts, so that nobody copies a body to put a time
 * before it.
 */
#ifndef PAY_SIGN_H
#define PAY_SIGN_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "pay/pay.h"

/* Does that hex say the MAC of the parts? In constant time; false for what is no hex of that length. */
bool pay_is_sha256(struct str secret, const struct str *parts, size_t count, struct str hex) MUST_CHECK;
bool pay_is_sha512(struct str secret, const struct str *parts, size_t count, struct str hex) MUST_CHECK;
/* Lower-case hex. */
#define PAY_SHA256_HEX_LEN 64
#define PAY_SHA512_HEX_LEN 128
void pay_sha256_hex(struct str secret, const struct str *parts, size_t count, char hex[PAY_SHA256_HEX_LEN + 1]);
void pay_sha512_hex(struct str secret, const struct str *parts, size_t count, char hex[PAY_SHA512_HEX_LEN + 1]);

/* Standard base64 with its padding, and nothing else, not even a line's end. STR_NONE when it is not that, or out
 * of memory. */
struct str pay_unbase64(struct arena *arena, struct str text);

/* An RSA key of at least 2,048 bits. */
struct pay_rsa;
/* From PEM, or base64 of its DER as providers show it, white space allowed: PKCS#8 or PKCS#1 of a private key, SPKI
 * of a public one. NULL when it is no such key, or out of memory; why says which. */
struct pay_rsa *pay_rsa_private(struct str text, const char **why) MUST_CHECK;
struct pay_rsa *pay_rsa_public(struct str text, const char **why) MUST_CHECK;
void pay_rsa_free(struct pay_rsa **key);
/* RSASSA-PKCS1-v1_5 with SHA-256, as base64. False: out of memory. */
bool pay_rsa_sign(struct pay_rsa *key, const struct str *parts, size_t count, struct buf *base64) MUST_CHECK;
bool pay_rsa_verify(struct pay_rsa *key, const struct str *parts, size_t count, struct str base64) MUST_CHECK;

/* AES-256-GCM of base64 with the tag at its end. STR_NONE when it does not open. key has 32 bytes. */
struct str pay_gcm_open(struct arena *arena, struct str key, struct str nonce, struct str associated,
                        struct str base64);

#endif
