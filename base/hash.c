#include "base/hash.h"

#include <sodium.h>

_Static_assert(HASH_LEN == crypto_generichash_BYTES, "BLAKE2b-256");
_Static_assert(HASH_KEY_LEN == crypto_generichash_KEYBYTES, "BLAKE2b's usual key");

void
hash_start(void)
{
    int rc = sodium_init();

    ASSERT(rc >= 0);
}

void
hash_keyed(const uint8_t key[HASH_KEY_LEN], const void *bytes, size_t len, uint8_t out[HASH_LEN])
{
    int rc = crypto_generichash(out, HASH_LEN, bytes, len, key, key == NULL ? 0 : HASH_KEY_LEN);

    ASSERT(rc == 0);
}

void
hash_pair(struct str a, struct str b, uint8_t out[HASH_LEN])
{
    crypto_generichash_state state;
    int rc = crypto_generichash_init(&state, NULL, 0, HASH_LEN);

    rc |= crypto_generichash_update(&state, (const uint8_t *)a.ptr, a.len);
    rc |= crypto_generichash_update(&state, (const uint8_t *)b.ptr, b.len);
    rc |= crypto_generichash_final(&state, out, HASH_LEN);
    ASSERT(rc == 0);
}

bool
hash_eq(const uint8_t a[HASH_LEN], const uint8_t b[HASH_LEN])
{
    return sodium_memcmp(a, b, HASH_LEN) == 0;
}

/* SipHash under a fixed key: all processes, and the next start, must find the same entries in the
 * tables that they share. */
uint64_t
hash_u64(const void *bytes, size_t len)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES] = "turnpike tables";
    uint64_t hash;

    _Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "one word");
    crypto_shorthash((uint8_t *)&hash, bytes, len, key);
    return hash;
}
