/* Hashes: all from libsodium. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/base.h"

#define HASH_LEN 32
#define HASH_KEY_LEN 32

/* Once, at the program's start: picks what is fastest on this machine. All below works without. */
void hash_start(void);
/* BLAKE2b-256 of the bytes, keyed (key may be NULL: unkeyed). */
void hash_keyed(const uint8_t key[HASH_KEY_LEN], const void *bytes, size_t len,
                uint8_t out[HASH_LEN]);
/* Two-part unkeyed BLAKE2b-256: of a then b. Used for chains. */
void hash_pair(struct str a, struct str b, uint8_t out[HASH_LEN]);
/* Constant time. */
bool hash_eq(const uint8_t a[HASH_LEN], const uint8_t b[HASH_LEN]);
/* A fast 64-bit hash of short bytes for tables, not against attackers who see the order. */
uint64_t hash_u64(const void *bytes, size_t len);

#endif
